"""Checks of the answer's statements against the passages that they cite: anchored to exact spans, repaired, else marked `[?]`."""

import re
from collections.abc import Sequence
from typing import Any, NotRequired

from langchain.agents.middleware import ModelRequest, ModelResponse, hook_config
from langchain.agents.middleware.types import AgentState
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, ToolMessage

from foundation.components import load_if_there
from foundation.errors import UpstreamMalformed, UpstreamRejected
from models.pricing import usage_of
from models.resilience.streams import empty_reply_of, is_cut_off, is_filtered
from orchestration.events import StopReason, Unsupported
from orchestration.language.guard import warnings_about, without_foreign_urls
from orchestration.middleware.base import ModelHandler, RequestMiddleware
from orchestration.middleware.instructions import client_options
from orchestration.middleware.policy import recorded_outcomes, this_turn
from orchestration.run.metered_chat import texts_read
from orchestration.run.run import Run, current_run
from orchestration.run.state import Result, abstain, as_result, result_of
from retrieval.documents import Hit
from retrieval.grounding.citing import Claim, cite_span, read_citations
from retrieval.grounding.evidence import Grounding

MARK = "[?]"
UNREAD = "no document was looked at for this answer"
_MARKERS = re.compile(r"(?:(?:(?<!\s)\s++)?\[\d{1,3}\])+")


class CheckedState(AgentState[Any]):
    result: NotRequired[Result | None]
    findings: NotRequired[str]
    """Instructions to repair the last answer; empty where there is nothing to repair."""
    repairs: NotRequired[int]


class CitationMiddleware(RequestMiddleware):
    """Checks the answer that ends the run, and asks the model at most `repairs` times to rewrite it."""

    state_schema = CheckedState

    def __init__(self, grounding: Grounding, *, repairs: int = 1) -> None:
        self._grounding, self._repairs = grounding, repairs
        self._checks = load_if_there("retrieval.grounding.claims")

    async def prepare(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        """Add the findings about the last answer to the request; they are not stored in the conversation. Stored replies
        without a word, such as one that a filter emptied, are left out, since providers refuse them.
        """
        findings = str(request.state.get("findings") or "")
        messages = [message for message in request.messages if not _is_empty(message)]
        return request.override(messages=[*messages, *([HumanMessage(findings)] if findings else [])])

    async def awrap_model_call(self, request: ModelRequest[Any], handler: ModelHandler) -> ModelResponse[Any]:
        """Raises before an empty reply is stored, so that the question can be asked again. Raises UpstreamRejected: the
        provider's filter emptied it, or the client's limit of tokens. UpstreamMalformed: the one before it was empty, too.
        """
        response = await super().awrap_model_call(request, handler)
        limit = request.model_settings.get("max_tokens")
        replies = [message for message in response.result if isinstance(message, AIMessage)]
        for message in replies:
            # each further round would end there, too
            nothing = not message.tool_calls and (message.invalid_tool_calls or not message.text.strip())
            if nothing and limit and is_cut_off(message) and (usage_of(message).output_tokens or 0) >= limit:
                raise UpstreamRejected(
                    f"The client's limit of {limit} tokens was reached before a whole word or call. Send a higher one, or none."
                )
            if _is_empty(message):
                if is_filtered(message):
                    raise UpstreamRejected(
                        "The provider's filter let no answer pass. Ask otherwise, or use another model."
                    )
                if request.state.get("repairs", 0):
                    raise UpstreamMalformed(empty_reply_of(message))
        return response

    @hook_config(can_jump_to=["model"])
    async def aafter_model(self, state: CheckedState, runtime: Any) -> dict[str, Any] | None:  # noqa: ARG002
        message = state["messages"][-1]
        if not isinstance(message, AIMessage) or message.tool_calls:
            return {"findings": ""} if state.get("findings") else None
        run, tries = current_run(), state.get("repairs", 0)
        if not message.text.strip():
            removed = [RemoveMessage(id=message.id)] if message.id else []  # providers refuse an empty message
            return {"messages": removed, "findings": run.prompt("empty").text, "repairs": tries + 1, "jump_to": "model"}
        shown = run.passages  # as far as the caller may read them
        passages = {number: shown[chunk_id] for chunk_id, number in run.numbers.items() if chunk_id in shown}
        claims = await run.in_thread(self._check, message.text, passages, state, run)
        wrong = [claim for claim in claims if claim.finding]
        if wrong and tries < self._repairs:
            listed = "\n".join(f"- {claim.text} ({claim.detail or claim.finding})" for claim in wrong)
            findings = run.prompt("repair").fill(findings=listed)
            return {"findings": findings, "repairs": tries + 1, "jump_to": "model"}
        result = self._result(message.text, claims, passages, state["messages"], run)
        return {"messages": repaired_drafts(state["messages"]), "findings": "", "result": result}

    def _check(self, text: str, passages: dict[int, Hit], state: CheckedState, run: Run) -> list[Claim]:
        if not self._checks:
            return read_citations(text, passages)
        read = [message.text for message in state["messages"] if isinstance(message, ToolMessage | HumanMessage)]
        claims: list[Claim] = self._checks.check_shown(
            text,
            passages,
            known=[*read, run.prompt("persona").text, client_options(run).instructions],
            question=run.state.get("question", ""),
            acted=bool(recorded_outcomes(this_turn(state["messages"]))),
            grounding=self._grounding,
        )
        return claims

    def _result(
        self, text: str, claims: Sequence[Claim], passages: dict[int, Hit], messages: Sequence[AnyMessage], run: Run
    ) -> Result:
        written, read = Rendering(passages, text, claims), texts_read(messages, run)
        final = without_foreign_urls(written.text, read)
        written.unsupported = [
            Unsupported(**{name: without_foreign_urls(value, read) for name, value in claim.model_dump().items()})
            for claim in written.unsupported
        ]
        if many := len(written.unsupported):
            what, them = ("1 statement is", "it") if many == 1 else (f"{many} statements are", "them")
            run.note(f"{what} marked {MARK}: what was read does not support {them}")
        for warning in warnings_about(written.citations):
            run.note(warning)
        for citation in written.citations:
            run.tell("citation", citation=citation)
        for claim in written.unsupported:
            run.tell("check", check=claim)
        if not self._checks and written.citations:
            run.note("no statement was compared with the passage that it cites")
        run.unsupported = written.unsupported
        run.drafts.append("marked" if written.unsupported else "shown")
        if claims and not any(isinstance(message, ToolMessage) for message in messages):
            run.note(UNREAD)
        outcomes = recorded_outcomes(this_turn(messages))
        acted = any(outcome.status == "done" for outcome in outcomes)
        if passages and not written.citations and not acted and not claims:
            return {**abstain(final), "path": "generative"}
        if outcomes and not acted and not written.citations:
            return result_of(outcomes[-1].model_copy(update={"content": final}))
        path = "tool" if acted and not written.citations else "generative"
        return as_result("answered", stop_reason_of(messages[-1], run), final, path, written.citations)


def stop_reason_of(message: AnyMessage, run: Run) -> StopReason:
    """Return why the model's last reply ended, and note where that was its limit of tokens."""
    if isinstance(message, AIMessage) and is_cut_off(message):
        run.note("the model reached its limit of tokens and the answer breaks off ([models.chat] max_tokens)")
        return "length"
    if isinstance(message, AIMessage) and is_filtered(message):
        run.note("the provider's filter ended the answer before it was whole")
        return "error"
    return "complete"


def repaired_drafts(messages: Sequence[AnyMessage]) -> list[RemoveMessage]:
    """Return the removals of this turn's answers that were rewritten."""
    drafts = [message for message in this_turn(messages)[:-1] if isinstance(message, AIMessage)]
    return [RemoveMessage(id=message.id) for message in drafts if message.id and not message.tool_calls]


class Rendering:
    """The model's text with `[?]` behind unsupported statements, under the numbers by which it cited its passages."""

    def __init__(self, passages: dict[int, Hit], text: str, claims: Sequence[Claim]) -> None:
        self._passages = passages
        self._spans: dict[int, tuple[int, int]] = {}
        self.unsupported: list[Unsupported] = []
        parts, end = [], 0
        for claim in claims:
            parts += [text[end : claim.start], self._claim(text[claim.start : claim.end], claim)]
            end = claim.end
        self.text = "".join([*parts, text[end:]]).strip()
        chunks = {number: passages[number].chunk for number in self._spans}
        # one citation per passage, in the order of markers, with the span that its statements rest on
        self.citations = tuple(
            cite_span(passages[number], number, chunks[number].start + start, chunks[number].text[start:end])
            for number, (start, end) in sorted(self._spans.items())
        )

    def _claim(self, text: str, claim: Claim) -> str:
        if claim.finding:
            self.unsupported.append(Unsupported(text=claim.text, reason=claim.finding, detail=claim.detail))
            return _mark(text, f" {MARK}")
        shown = self._passages
        anchors = [(anchor.passage, anchor.start, anchor.end) for anchor in claim.anchors if anchor.passage in shown]
        whole = [(number, 0, len(shown[number].chunk.text)) for number in claim.cited if number in shown]
        for passage, start, end in anchors or whole:
            before = self._spans.get(passage, (start, end))
            self._spans[passage] = (min(start, before[0]), max(end, before[1]))
        if claim.cited or not anchors:
            return text
        markers = [f"[{number}]" for number in dict.fromkeys(passage for passage, _, _ in anchors)]
        return _mark(text, "".join(markers), " ")


def _mark(text: str, marker: str, space: str = "") -> str:
    """Put `marker` in place of the text's last markers; where it has none, behind the last word, before the end of a table cell."""
    places = [match.span() for match in _MARKERS.finditer(text)]
    if not places:
        words = text.rstrip(" \n|")
        return words + space + marker + text[len(words) :]
    start, end = places[-1]
    return _MARKERS.sub("", text[:start]) + space + marker + text[end:]


def _is_empty(message: AnyMessage) -> bool:
    return isinstance(message, AIMessage) and not (
        message.text.strip() or message.tool_calls or message.invalid_tool_calls
    )

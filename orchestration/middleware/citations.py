"""Citations of the answer, and marks `[?]` on what is in nothing that was read. The model's words are never changed or asked for twice."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NotRequired

from langchain.agents.middleware import ModelRequest, ModelResponse, hook_config
from langchain.agents.middleware.types import AgentState
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, ToolMessage

from foundation.errors import ComponentError, UpstreamMalformed, UpstreamRejected
from foundation.text.lexical import terms
from foundation.text.prose import blank_code
from foundation.text.sentences import sentence_spans
from models.pricing import usage_of
from models.resilience.streams import empty_reply_of, is_cut_off, is_filtered
from orchestration.contract import WrittenAnswer
from orchestration.events import StopReason, Unsupported
from orchestration.language.guard import without_foreign_urls
from orchestration.middleware.base import ModelHandler, RequestMiddleware
from orchestration.middleware.instructions import client_options
from orchestration.middleware.policy import artifact_of, recorded_outcomes, this_turn
from orchestration.run.metered_chat import JSON_STRING, MeteredChatModel, texts_read
from orchestration.run.run import Run, current_run
from orchestration.run.state import Result, abstain, as_result, result_of
from retrieval.documents import Citation, Hit
from retrieval.grounding.checks import MARKER, Checked, check_answer
from retrieval.grounding.citing import cite_span

MARK = "[?]"
UNCHECKED = "the values of this JSON were not held against what was read"
_LINE = re.compile(r"[^\n]+")


class CheckedState(AgentState[Any]):
    result: NotRequired[Result | None]
    findings: NotRequired[str]
    """What is wrong with the last reply, such as that it was empty or no JSON; empty where nothing is."""
    repairs: NotRequired[int]


class CitationMiddleware(RequestMiddleware):
    """Checks the answer that ends the run. Only an empty reply is asked for again, once."""

    state_schema = CheckedState

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
        if not isinstance(message, AIMessage) or message.tool_calls or state.get("structured_response") is not None:
            return {"findings": ""} if state.get("findings") else None
        run, tries = current_run(), state.get("repairs", 0)
        if not message.text.strip():
            removed = [RemoveMessage(id=message.id)] if message.id else []  # providers refuse an empty message
            return {"messages": removed, "findings": run.prompt("empty").text, "repairs": tries + 1, "jump_to": "model"}
        result = await check_reply(state["messages"], run)
        return {"messages": repaired_drafts(state["messages"]), "findings": "", "result": result}


async def check_reply(messages: Sequence[AnyMessage], run: Run) -> Result:
    """Return the last message, a model's answer, as the run's result: what was not read is marked, what is cited is found."""
    text, passages = messages[-1].text, run.passages.by_number()
    checked = await run.in_thread(_check, text, passages, messages, run)
    return _result(text, checked, passages, messages, run)


def as_object(text: str, read: Sequence[str], run: Run) -> Result:
    """Return JSON as the run's result, with the passages that its texts cite; its values are not checked."""

    # one string at a time: in JSON an address may be followed by a quote instead of a space
    def clean(string: re.Match[str]) -> str:
        value = json.loads(string[0])
        return string[0] if (left := without_foreign_urls(value, read)) == value else json.dumps(left)

    run.note(UNCHECKED)
    citations = cite_passages("\n".join(map(json.loads, JSON_STRING.findall(text))), run.passages.by_number())
    shown = JSON_STRING.sub(clean, text)
    return {**as_result("answered", "complete", shown, "generative", citations), "is_json": True}


def _check(text: str, passages: Mapping[int, Hit], messages: Sequence[AnyMessage], run: Run) -> Checked:
    known = _texts_known(messages, run)
    checked = _check_alone(text, passages, messages, known, run)
    answer = WrittenAnswer(
        text=text,
        passages=passages,
        known=known,
        question=run.state.get("question", ""),
        acted=bool(recorded_outcomes(this_turn(messages))),
        results=[outcome.content for outcome in recorded_outcomes(this_turn(messages))],
        chat=MeteredChatModel(inner=run.parts.chat),
        note=run.note,
    )
    found = list(checked.findings)
    for check in run.parts.answer_checks:
        try:
            findings = check(answer, run.parts.grounding)
        except ComponentError as error:
            run.note(f"what the answer means could not be checked ({error.code})")
            continue
        for finding in findings:
            if not any(it.start < finding.end and finding.start < it.end for it in found):
                found.append(finding)
    return replace(checked, findings=tuple(sorted(found, key=lambda finding: finding.start)))


def _check_alone(
    text: str, passages: Mapping[int, Hit], messages: Sequence[AnyMessage], known: Sequence[str], run: Run
) -> Checked:
    read = [it.text for it in messages if isinstance(it, ToolMessage) and it.status != "error"]
    if not passages and not read:  # nothing was read, so only a marker can be wrong
        return check_answer(text, {}, ()) if not MARKER.search(blank_code(text)) else check_answer(text, {}, [text])
    titles = [f"{hit.source.title} {' '.join(hit.chunk.heading_path)}" for hit in passages.values()]
    texts = {number: hit.chunk.text for number, hit in passages.items()}
    # the day alone, as the model is told it: the hour would be a source of 60 figures
    return check_answer(text, texts, [*known, run.parts.clock.now().date().isoformat(), *titles])


def _texts_known(messages: Sequence[AnyMessage], run: Run) -> list[str]:
    """Return what an answer may rest on beside passages: results of tools, what was said, instructions. Not the model's own words."""
    said = [message for message in messages if isinstance(message, ToolMessage | HumanMessage)]
    # the report of a sub-agent is a model's own words, too
    read = [text for message in said for text in artifact_of(message).get("read", [message.text])]
    return [*read, run.prompt("persona").text, client_options(run).instructions]


def _result(
    text: str, checked: Checked, passages: Mapping[int, Hit], messages: Sequence[AnyMessage], run: Run
) -> Result:
    read, citations = texts_read(messages, run), cite_passages(text, passages)
    clean = [(finding, text[finding.start : finding.end]) for finding in checked.findings]
    unsupported = [
        Unsupported(
            text=without_foreign_urls(words, read), reason=it.reason, detail=without_foreign_urls(it.detail, read)
        )
        for it, words in clean
    ]
    if many := len(unsupported):
        run.note(
            f"{many} {'statement has' if many == 1 else 'statements have'} something that was not read, marked {MARK}"
        )
    for citation in citations:
        run.tell("citation", citation=citation)
    for claim in unsupported:
        run.tell("check", check=claim)
    run.notes.drafts.append("marked" if unsupported else "shown")
    final = without_foreign_urls(mark_findings(text, checked).strip(), read)
    outcomes = recorded_outcomes(this_turn(messages))
    acted = any(outcome.status == "done" for outcome in outcomes)
    if passages and not citations and not acted:  # whatever is taken from documents is cited
        result: Result = {**abstain(final), "path": "generative"}
    elif outcomes and not acted and not citations:
        result = result_of(outcomes[-1].model_copy(update={"content": final}))
    else:
        path = "tool" if acted and not citations else "generative"
        result = as_result("answered", stop_reason_of(messages[-1], run), final, path, citations)
    if unsupported:
        result["unsupported"] = [item.model_dump() for item in unsupported]
    if checked.receipts:
        result["worked_out"] = [{"figure": it.figure, "working": it.working} for it in checked.receipts]
    return result


def mark_findings(text: str, checked: Checked) -> str:
    """Return the text with `[?]` behind each sentence or table cell that has a finding; nothing else is changed."""
    parts, end = [], 0
    for finding in checked.findings:
        parts += [text[end : finding.end], f" {MARK}"]
        end = finding.end
    return "".join([*parts, text[end:]])


def cite_passages(text: str, passages: Mapping[int, Hit]) -> tuple[Citation, ...]:
    """Return a citation for each passage that the text cites, with the sentences nearest to what it is cited for."""
    spans: dict[int, tuple[int, int]] = {}
    for line in _LINE.finditer(blank_code(text)):
        for number in {int(number) for number in MARKER.findall(line[0])} & passages.keys():
            start, end = _nearest_sentence(passages[number].chunk.text, line[0])
            before = spans.get(number, (start, end))
            spans[number] = (min(start, before[0]), max(end, before[1]))
    return tuple(
        cite_span(hit, number, hit.chunk.start + start, hit.chunk.text[start:end])
        for number, (start, end) in sorted(spans.items())
        for hit in (passages[number],)
    )


def _nearest_sentence(passage: str, statement: str) -> tuple[int, int]:
    wanted, spans = terms(statement), [*sentence_spans(passage)]
    shared = [len(wanted & terms(passage[start:end])) for start, end in spans]
    return spans[shared.index(max(shared))] if any(shared) else (0, len(passage))


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


def _is_empty(message: AnyMessage) -> bool:
    return isinstance(message, AIMessage) and not (
        message.text.strip() or message.tool_calls or message.invalid_tool_calls
    )

"""One question with its answer: what is done, the draft as it comes, the checked answer with its sources, what can be done with it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Literal

from nicegui import html, ui

from extensions.feedback.store import Outcome
from extensions.page.session import WORDS, Visitor, act, copy_button, every, refill, show_errors
from extensions.page.views.export import as_text
from extensions.page.views.feedback import FeedbackBar
from extensions.page.views.how_it_was_made import Making
from extensions.page.views.markdown import Draft, show_markdown
from extensions.page.views.source import SourcePanel
from orchestration.actions import Decision
from orchestration.events import Answer, Event, Step, Turn, Unsupported
from retrieval.documents import Citation
from serving.api.approvals import carry_out
from serving.api.conversations import require_conversations
from serving.cli.terminal import near_titles
from serving.hooks import AnswerAction

LOOK_AGAIN_S = 2.0
# a draft is drawn this often: every word by itself would cost more than the model
DRAW_AGAIN_S = 0.1
UNSUPPORTED = "[?]"
MARKER = re.compile(r"(\[(?:\d+|\?)\])")


class Exchange:
    """`again` asks a question once more, in the same conversation; `edit` puts it where it is written, to be changed first; `open_`
    opens another conversation.
    """

    def __init__(
        self,
        question: str,
        visitor: Visitor,
        source: SourcePanel,
        *,
        again: Callable[[str], None],
        edit: Callable[[str], None],
        open_: Callable[[str], Awaitable[None]],
    ) -> None:
        self._question, self._again, self._edit, self._open = question, again, edit, open_
        self._is_own = True
        self._visitor = visitor
        self._source = source
        self.thread_id: str | None = None
        self._draft = ""
        self._round: int | None = None
        with html.article().classes("turn") as self._article:
            html.h2(question).classes("question")
            self._status = ui.label("Working").classes("status working").props("role=status")
            self._steps = html.ol().classes("steps").props('aria-label="What is being done"')
            self._text = html.div().classes("answer draft").props("aria-busy=true")
            self._rest = html.div().classes("rest")
            self._shown = Draft(self._text, show_draft_markers)
            self._drawing = ui.timer(DRAW_AGAIN_S, self._draw)
        self._look_at("end")

    @property
    def is_gone(self) -> bool:
        """Whether another conversation was opened meanwhile."""
        return bool(self._article.is_deleted)

    def take(self, event: Event) -> None:
        self.thread_id = event.thread_id or self.thread_id
        if event.step is not None:
            self._step(event.step)
        if event.token is not None:
            if event.round != self._round:  # text of an earlier round led to tools and is no answer
                self._draft, self._round = "", event.round
            self._draft += event.token
        if event.answer is not None:
            answer = event.answer
            self.thread_id = answer.thread_id
            # as its conversation stores it
            both: dict[str, Any] = {name: value for name, value in answer if name in Turn.model_fields}
            waits = answer.approval.approval_id if answer.approval else None
            turn = Turn(**both, at=self._visitor.system.context.clock.now(), approval_id=waits)
            self._show(turn, Making.of(answer, self._visitor), remarks=self._remarks(answer))
            self._look_at("start")

    def show_again(self, thread_id: str, turn: Turn, feedback: Outcome | None = None) -> None:
        self.thread_id = thread_id
        making = Making(turn.trace_id, self._visitor, says=self._visitor.when(turn.at))
        self._show(turn, making, feedback=feedback)

    def show_shared(self, turn: Turn, *, is_readable: bool) -> None:
        """Show a turn of somebody else, who shared it, with nothing to do but to copy it; or say that the visitor may not read it."""
        self._is_own = False
        if is_readable:
            self._show(turn, Making(None, self._visitor, says=""))
        elif self._end("Not shown to you", "refused"):
            with refill(self._text):
                html.p("This answer may rest on documents or tools that you may not use.")

    def fail(self, message: str) -> None:
        if self._end("No answer", "bad"):
            with refill(self._text):
                html.p(message).props("role=alert")

    def stop(self) -> None:
        """Keep what was written before the person stopped it."""
        self._draw()
        self._end("Stopped", "stopped", "You stopped it. What it had written was not checked against the documents.")

    def _end(self, status: str, how: str, remark: str = "") -> bool:
        if self.is_gone:
            return False
        self._drawing.cancel()
        self._status.text = status
        self._status.classes(replace=f"status {how}")
        self._text.props["aria-busy"] = "false"
        with refill(self._rest):
            if remark:
                html.p(remark).classes("dim")
            if self._is_own:
                with html.div().classes("choices"):
                    if how == "stopped" and self._draft:
                        copy_button(self._draft, "Copied. It was not checked.")
                    self._offer_to_ask()
        return True

    def _offer_to_ask(self) -> None:
        act("Ask again", lambda: self._again(self._question), icon="refresh")
        act("Edit", lambda: self._edit(self._question), icon="edit")

    def _draw(self) -> None:
        if not self.is_gone and self._shown.show(self._draft):
            self._look_at("end")

    def _step(self, step: Step) -> None:
        self._status.text = step.name.replace("_", " ").capitalize()
        with self._steps, html.li().classes(step.outcome):
            html.b(step.name.replace("_", " "))
            html.span(step.detail).classes("dim")
            html.span(f"{step.ms:.0f} ms").classes("ms")
        self._look_at("end")

    def _show(
        self, turn: Turn, making: Making, *, remarks: tuple[str, ...] = (), feedback: Outcome | None = None
    ) -> None:
        self._drawing.cancel()
        stands = turn.band or turn.status
        self._status.text = WORDS[stands]
        self._status.classes(replace=f"status {stands}")
        self._steps.set_visibility(False)
        self._text.classes(replace="answer").props["aria-busy"] = "false"
        doubts = iter(turn.unsupported)
        with refill(self._text):
            if turn.path == "generative":
                show_markdown(turn.text, lambda text: self._show_markers(text, turn, doubts))
            else:
                for paragraph in filter(str.strip, turn.text.split("\n")):
                    with html.p():
                        self._show_markers(paragraph, turn, doubts)
        with refill(self._rest):
            self._show_basis(turn, remarks)
            self._offer(turn)
            if not self._is_own:
                return
            if turn.status in ("waiting", "unfinished"):
                self._wait_for(turn)
            else:
                FeedbackBar(turn.answer_id, turn.text, self._visitor).build(feedback)
            making.build()

    def _show_basis(self, turn: Turn, remarks: tuple[str, ...]) -> None:
        """Show how sure the answer is, and what it rests on."""
        if turn.as_of is not None:
            html.p(f"From the versions that were in force on {turn.as_of:%d %b %Y}.").classes("dim")
        for worse in remarks:
            html.p(worse).classes("warning")
        if turn.band and turn.confidence is not None:
            html.p(f"{turn.confidence:.0%} sure that this answers the question.").classes("dim")
        if turn.citations:
            self._sources(turn)
        if turn.worked_out:
            html.p("Worked out: " + "; ".join(f"{it.figure} = {it.working}" for it in turn.worked_out)).classes("dim")
        if turn.nearest:
            html.p(f"Nearest: {near_titles(turn)}").classes("dim")

    def _remarks(self, answer: Answer) -> tuple[str, ...]:
        # whoever asks can do nothing about a price that is not set
        return (*answer.degraded, *(answer.cost_notes if self._visitor.may("operate") else ()))

    def _offer(self, turn: Turn) -> None:
        with html.div().classes("choices"):
            copy_button(as_text(turn), "Copied, with its sources.")
            if not self._is_own:
                return
            if turn.status != "waiting":
                self._offer_to_ask()
            for action in self._visitor.answer_actions if turn.status not in ("waiting", "unfinished") else ():
                act(action.label, partial(self._do, action, turn.answer_id), icon=action.icon)

    async def _do(self, action: AnswerAction, answer_id: str) -> None:
        with show_errors():
            async with self._visitor.acts() as caller:
                opened = await action.run(self.thread_id or "", answer_id, caller, self._visitor.runtime)
            await self._open(opened.thread_id)

    def _wait_for(self, turn: Turn) -> None:
        """Say that the turn waits for a decision; when it was made, or the run has ended, show the result."""
        html.p(
            "Somebody who may approve decides under Approvals. Nothing happens before."
            if turn.status == "waiting"
            else "It is still at work, or was cut off. The same question, asked here again, goes on with it."
        ).classes("dim")
        if turn.status == "waiting" and (approval_id := turn.approval_id):
            act("Withdraw", lambda: self._withdraw(approval_id), icon="undo")

        async def look() -> None:
            caller = await self._visitor.caller()
            approval = None
            if turn.approval_id:
                approval = await self._visitor.system.orchestration.approvals.get(turn.approval_id, caller.tenant)
                if approval is None or approval.status == "pending":
                    return
                if approval.status == "expired":
                    again.cancel()
                    self._status.text = "Nobody decided in time; nothing was done"
                    return
                if (
                    approval.thread_id != self.thread_id
                ):  # the same was asked before, and goes on where it was asked first
                    again.cancel()
                    self._status.text = (
                        f"{approval.status.capitalize()} by {approval.decided_by}, where you asked it first"
                    )
                    return
            turns = await require_conversations(self._visitor.runtime, caller).turns(self.thread_id or "", caller)
            # where the conversation went on meanwhile, a later turn says what came of it
            outcomes = [it for it in turns if it.approval_id and it.approval_id == turn.approval_id]
            now = (outcomes or [it for it in turns if it.answer_id == turn.answer_id])[-1]
            if now.status in ("waiting", "unfinished"):
                return  # the decision is being carried out
            again.cancel()
            self.show_again(self.thread_id or "", now)
            if approval is not None:
                self._status.text = f"{approval.status.capitalize()} by {approval.decided_by}"

        again = every(LOOK_AGAIN_S, look)

    async def _withdraw(self, approval_id: str) -> None:
        with show_errors():
            caller = await self._visitor.caller()
            await carry_out(Decision(approval_id=approval_id, approve=False), caller, self._visitor.runtime)

    def _show_markers(self, text: str, turn: Turn, doubts: Iterator[Unsupported]) -> None:
        citations = {f"[{citation.marker}]": citation for citation in turn.citations}
        for part in MARKER.split(text):
            if part in citations:
                self._opens(html.button(str(citations[part].marker)).classes("cite"), citations[part])
            elif part == UNSUPPORTED:
                doubt = next(doubts, None)  # they are in the order of the text
                why = (doubt.detail or doubt.reason) if doubt else ""
                html.span(part).classes("unsupported").props["title"] = (
                    f"What was read does not support this: {why}".rstrip(": ")
                )
            elif part:
                html.span(part)

    def _sources(self, turn: Turn) -> None:
        with html.ol().classes("sources").props('aria-label="Sources"'):
            for citation in turn.citations:
                with html.li():
                    with html.button().classes("open") as opener:
                        html.span(str(citation.marker)).classes("cite")
                        html.b(citation.title or citation.uri)
                        page = f" · page {citation.page}" if citation.page else ""
                        html.span(f"{citation.uri}{page}").classes("dim")
                        html.q(citation.quote)
                    self._opens(opener, citation)

    def _opens(self, button: ui.element, citation: Citation) -> None:
        button.props["type"] = "button"
        button.props["aria-label"] = f"Source {citation.marker}: {citation.title or citation.uri}"
        button.on("click", lambda: self._source.cite(citation))

    def _look_at(self, edge: Literal["start", "end"]) -> None:
        # to its end while it is written, and to its start once it is complete
        scroll = f"document.getElementById('{self._article.html_id}')?.scrollIntoView"
        ui.run_javascript(scroll + ("({block: 'start'})" if edge == "start" else "({block: 'end'})"))


def show_draft_markers(text: str) -> None:
    """Show a draft's text; its markers lead nowhere until the answer is checked."""
    for part in filter(None, MARKER.split(text)):
        html.span(part.strip("[]") if MARKER.fullmatch(part) else part).classes(
            "cite" if MARKER.fullmatch(part) else ""
        )

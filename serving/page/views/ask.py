"""The view to ask: the question, its plan and tokens as they come, the answer with its sources, earlier conversations."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from typing import Any, Literal

from nicegui import background_tasks, html, ui

from observability.stores.outcomes import Outcome
from orchestration.events import Event, Step, Turn
from orchestration.requests import AnswerRequest
from retrieval.documents import Citation
from serving.api.answers import check_length
from serving.api.conversations import require_conversations
from serving.cli.terminal import near_titles
from serving.http.streams import explain, follow
from serving.page.session import WORDS, Visitor, act, every, refill, trace
from serving.page.views.conversations import Earlier
from serving.page.views.feedback import FeedbackBar
from serving.page.views.how_it_was_made import Making
from serving.page.views.markdown import show_markdown
from serving.page.views.source import SourcePanel

LOOK_AGAIN_S = 2.0
UNSUPPORTED = "[?]"
MARKER = re.compile(r"(\[(?:\d+|\?)\])")


class AskView:
    def __init__(self, visitor: Visitor, source: SourcePanel) -> None:
        self._visitor = visitor
        self._source = source
        self._earlier = Earlier(visitor, self._go_on, self._is_deleted)
        self._thread_id: str | None = None
        self._running: asyncio.Task[None] | None = None

    def build(self) -> None:
        with html.div().classes("asking"):
            self._earlier.build()
            with html.div().classes("conversation").on("keydown.escape", self._stop):
                self._turns = html.div().classes("turns")
                self._greet()
                with html.div().classes("composer"):
                    self._question = (
                        ui.textarea(placeholder="Ask a question")
                        .props('outlined autogrow dense autofocus aria-label="Question"')
                        .on("keydown.enter.exact.prevent", self._ask)
                    )
                    with html.div().classes("acts"):
                        html.span("Enter asks, Shift + Enter breaks the line, Escape stops").classes("dim hint")
                        self._earlier.opener()
                        self._new = act("New conversation", self._begin_anew)
                        self._halt = act("Stop", self._stop, "outline", icon="stop")
                        self._send = act("Ask", self._ask, "unelevated", icon="send")
        self._idle()
        self._new.set_visibility(False)
        ui.context.client.on_delete(self._stop)

    async def refresh(self) -> None:
        self._question.run_method("focus")
        await self._earlier.refresh(self._thread_id)

    def _greet(self) -> None:
        with self._turns:
            self._empty = html.div().classes("empty")
        with self._empty:
            html.h1("Ask your documents")
            html.p("Every sentence of an answer comes with the passage that it rests on. Open it and check.")
            if self._visitor.may("write"):
                html.p("What answers are made from stands under Documents, and you can add to it.")

    def _ask(self) -> None:
        question = (self._question.value or "").strip()
        if not question or self._running is not None:
            return
        self._question.value = ""
        self._empty.set_visibility(False)
        self._halt.set_visibility(True)
        self._send.set_visibility(False)
        self._running = background_tasks.create(self._run(question), name="ask")

    async def _run(self, question: str) -> None:
        with self._turns:
            exchange = Exchange(question, self._visitor, self._source)
            try:
                await self._answer(question, exchange)
            except asyncio.CancelledError:
                exchange.fail("Stopped.")
            except Exception as error:
                exchange.fail(explain(error).public)
                self._question.value = self._question.value or question  # to be sent again
            finally:
                self._running = None
                self._idle()

    async def _answer(self, question: str, exchange: Exchange) -> None:
        runtime = self._visitor.runtime
        check_length(question, runtime.system.settings.orchestration.answers)
        request = AnswerRequest(question=question, thread_id=self._thread_id)
        async with self._visitor.acts() as caller, runtime.place("answers", caller):
            with trace("ask", caller.tenant):
                async with aclosing(follow(runtime.system.agent.stream(request, caller), runtime.lifecycle)) as events:
                    async for event in events:
                        if event is not None:
                            exchange.take(event)
        if exchange.thread_id is not None:
            self._thread_id = exchange.thread_id
            self._new.set_visibility(True)
            await self._earlier.refresh(self._thread_id)

    def _stop(self) -> None:
        if self._running is not None:
            self._running.cancel()

    def _idle(self) -> None:
        self._halt.set_visibility(False)
        self._send.set_visibility(True)

    async def _go_on(self, thread_id: str) -> None:
        caller = await self._visitor.caller()
        system = self._visitor.system
        turns = await require_conversations(self._visitor.runtime).turns(thread_id, caller)
        own = {turn.answer_id for turn in turns}
        outcomes = await asyncio.to_thread(system.outcomes.all, tenant=caller.tenant)
        judged = {outcome.answer_id: outcome for outcome in outcomes if outcome.answer_id in own}
        self._clear(thread_id)
        with self._turns:
            for turn in turns:
                Exchange(turn.question, self._visitor, self._source).show_again(
                    thread_id, turn, judged.get(turn.answer_id)
                )
        await self._earlier.refresh(thread_id)

    async def _is_deleted(self, thread_id: str) -> None:
        if thread_id == self._thread_id:
            await self._begin_anew()
        else:
            await self._earlier.refresh(self._thread_id)

    async def _begin_anew(self) -> None:
        self._clear(None)
        self._greet()
        await self._earlier.refresh(None)

    def _clear(self, thread_id: str | None) -> None:
        self._stop()
        self._thread_id = thread_id
        self._new.set_visibility(thread_id is not None)
        self._turns.clear()
        self._question.run_method("focus")


class Exchange:
    """One question with its answer."""

    def __init__(self, question: str, visitor: Visitor, source: SourcePanel) -> None:
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
        self._look_at("end")

    def take(self, event: Event) -> None:
        if event.step is not None:
            self._step(event.step)
        if event.token is not None:
            if event.round != self._round:  # text of an earlier round led to tools and is no answer
                self._draft, self._round = "", event.round
            self._draft += event.token
            with refill(self._text):
                html.p(self._draft)
        if event.answer is not None:
            answer = event.answer
            self.thread_id = answer.thread_id
            # as its conversation stores it
            both: dict[str, Any] = {name: value for name, value in answer if name in Turn.model_fields}
            waits = answer.approval.approval_id if answer.approval else None
            turn = Turn(**both, at=self._visitor.system.context.clock.now(), approval_id=waits)
            self._show(turn, Making.of(answer, self._visitor), degraded=answer.degraded)
            self._look_at("start")

    def show_again(self, thread_id: str, turn: Turn, feedback: Outcome | None = None) -> None:
        self.thread_id = thread_id
        making = Making(turn.trace_id, self._visitor, says=f"{turn.at:%d %b %Y, %H:%M} UTC")
        self._show(turn, making, feedback=feedback)

    def fail(self, message: str) -> None:
        if self._article.is_deleted:  # another conversation was opened meanwhile
            return
        self._status.text = "No answer"
        self._status.classes(replace="status bad")
        with refill(self._text):
            html.p(message).props("role=alert")
        self._text.props["aria-busy"] = "false"

    def _step(self, step: Step) -> None:
        self._status.text = step.name.replace("_", " ").capitalize()
        with self._steps, html.li().classes(step.outcome):
            html.b(step.name.replace("_", " "))
            html.span(step.detail).classes("dim")
            html.span(f"{step.ms:.0f} ms").classes("ms")
        self._look_at("end")

    def _show(
        self, turn: Turn, making: Making, *, degraded: tuple[str, ...] = (), feedback: Outcome | None = None
    ) -> None:
        self._status.text = WORDS[turn.status]
        self._status.classes(replace=f"status {turn.status}")
        self._steps.set_visibility(False)
        self._text.classes(replace="answer").props["aria-busy"] = "false"
        with refill(self._text):
            if turn.path == "generative":
                show_markdown(turn.text, lambda text: self._show_markers(text, turn))
            else:
                for paragraph in filter(str.strip, turn.text.split("\n")):
                    with html.p():
                        self._show_markers(paragraph, turn)
        with refill(self._rest):
            if turn.as_of is not None:
                html.p(f"From the versions that were in force on {turn.as_of:%d %b %Y}.").classes("dim")
            for worse in degraded:
                html.p(worse).classes("warning")
            if turn.citations:
                self._sources(turn)
            if turn.nearest:
                html.p(f"Nearest: {near_titles(turn)}").classes("dim")
            if turn.status in ("waiting", "unfinished"):
                self._wait_for(turn)
            else:
                FeedbackBar(turn.answer_id, turn.text, self._visitor).build(feedback)
            making.build()

    def _wait_for(self, turn: Turn) -> None:
        """Say that the turn waits for a decision; when it was made, or the run has ended, show the result."""
        html.p(
            "Somebody who may approve decides under Approvals. Nothing happens before."
            if turn.status == "waiting"
            else "It is still at work, or was cut off. The same question, asked here again, goes on with it."
        ).classes("dim")

        async def look() -> None:
            caller = await self._visitor.caller()
            approval = None
            if turn.approval_id:
                approval = await self._visitor.system.approvals.get(turn.approval_id, caller.tenant)
                if approval is None or approval.status == "pending":
                    return
                if approval.status == "expired":
                    again.cancel()
                    self._status.text = "Nobody decided in time; nothing was done"
                    return
            turns = await require_conversations(self._visitor.runtime).turns(self.thread_id or "", caller)
            now = next(turn_now for turn_now in turns if turn_now.answer_id == turn.answer_id)
            if now.status in ("waiting", "unfinished"):
                return  # the decision is being carried out
            again.cancel()
            self.show_again(self.thread_id or "", now)
            if approval is not None:
                self._status.text = f"{approval.status.capitalize()} by {approval.decided_by}"

        again = every(LOOK_AGAIN_S, look)

    def _show_markers(self, text: str, turn: Turn) -> None:
        citations = {f"[{citation.marker}]": citation for citation in turn.citations}
        for part in MARKER.split(text):
            if part in citations:
                self._opens(html.button(str(citations[part].marker)).classes("cite"), citations[part])
            elif part == UNSUPPORTED:
                html.span(part).classes("unsupported").props('title="What was read does not support this."')
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

"""Ask: the question, its plan and its words as they come, and the answer with sources that open."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from typing import Literal

from nicegui import background_tasks, html, ui

from orchestration.contract import Answer, AnswerRequest, Event, Step
from retrieval.contract import Citation
from serving.page.feedback import FeedbackBar
from serving.page.making import Making
from serving.page.source import SourcePanel
from serving.page.visitor import WORDS, Visitor, every, traced
from serving.routes.answers import check_length
from serving.routes.conversations import kept
from serving.streams import explained, follow

LOOK_AGAIN_S = 2.0
"""Between looks whether somebody has decided."""
MARKER = re.compile(r"(\[\d+\])")


class AskView:
    """A conversation."""

    def __init__(self, visitor: Visitor, source: SourcePanel) -> None:
        self._visitor = visitor
        self._source = source
        self._thread_id: str | None = None
        self._running: asyncio.Task[None] | None = None

    def build(self) -> None:
        with html.div().classes("conversation").on("keydown.escape", self._stop):
            self._turns = html.div().classes("turns")
            with self._turns:
                self._empty = html.div().classes("empty")
                with self._empty:
                    html.h1("Ask your documents")
                    html.p("Every sentence of an answer comes with the passage that it rests on. Open it and check.")
            with html.div().classes("composer"):
                self._question = (
                    ui.textarea(placeholder="Ask a question")
                    .props('outlined autogrow dense autofocus aria-label="Question"')
                    .on("keydown.enter.exact.prevent", self._ask)
                )
                with html.div().classes("acts"):
                    html.span("Enter asks, Shift + Enter breaks the line, Escape stops").classes("dim hint")
                    self._new = ui.button("New conversation", on_click=self._begin_anew).props("flat dense no-caps")
                    self._halt = ui.button("Stop", icon="stop", on_click=self._stop).props("outline dense no-caps")
                    self._send = ui.button("Ask", icon="send", on_click=self._ask).props("unelevated dense no-caps")
        self._idle()
        self._new.set_visibility(False)
        ui.context.client.on_delete(self._stop)

    async def refresh(self) -> None:
        self._question.run_method("focus")

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
            turn = Turn(question, self._visitor, self._source)
            try:
                await self._answer(question, turn)
            except asyncio.CancelledError:
                turn.fail("Stopped.")
            except Exception as error:
                turn.fail(str(explained(error)))
            finally:
                self._running = None
                self._idle()

    async def _answer(self, question: str, turn: Turn) -> None:
        runtime = self._visitor.runtime
        check_length(question, runtime.system.settings.orchestration.answers)
        asked = AnswerRequest(question=question, thread_id=self._thread_id)
        async with self._visitor.acts() as caller, runtime.place("answers"):
            with traced("ask", caller.tenant):
                async with aclosing(follow(runtime.system.agent.stream(asked, caller), runtime.lifecycle)) as events:
                    async for event in events:
                        if event is not None:
                            turn.take(event)
        if turn.answer is not None:
            self._thread_id = turn.answer.thread_id
            self._new.set_visibility(True)

    def _stop(self) -> None:
        if self._running is not None:
            self._running.cancel()

    def _idle(self) -> None:
        self._halt.set_visibility(False)
        self._send.set_visibility(True)

    def _begin_anew(self) -> None:
        self._stop()
        self._thread_id = None
        self._new.set_visibility(False)
        self._turns.clear()
        with self._turns:
            self._empty = html.div().classes("empty")
            with self._empty:
                html.h1("Ask your documents")
        self._question.run_method("focus")


class Turn:
    """One question with what comes of it."""

    def __init__(self, question: str, visitor: Visitor, source: SourcePanel) -> None:
        self._visitor = visitor
        self._source = source
        self.answer: Answer | None = None
        self._draft = ""
        with html.article().classes("turn") as self._article:
            html.h2(question).classes("question")
            self._status = ui.label("Working").classes("status working").props("role=status")
            self._steps = html.ol().classes("steps").props('aria-label="What is being done"')
            self._text = html.div().classes("answer draft").props("aria-busy=true")
            self._rest = html.div().classes("rest")
        self._look_at("end")

    def take(self, event: Event) -> None:
        """Show what has just happened."""
        if event.step is not None:
            self._step(event.step)
        if event.token is not None:
            self._draft += event.token
            self._text.clear()
            with self._text:
                html.p(self._draft)
        if event.answer is not None:
            self._show(event.answer)

    def fail(self, message: str) -> None:
        self._status.text = "No answer"
        self._status.classes(replace="status bad")
        self._text.clear()
        with self._text:
            html.p(message).props("role=alert")
        self._text.props["aria-busy"] = "false"

    def _step(self, step: Step) -> None:
        self._status.text = step.name.replace("_", " ").capitalize()
        with self._steps, html.li().classes(step.outcome):
            html.b(step.name.replace("_", " "))
            html.span(step.detail).classes("dim")
            html.span(f"{step.ms:.0f} ms").classes("ms")
        self._look_at("end")

    def _show(self, answer: Answer) -> None:
        self.answer = answer
        self._status.text = WORDS[answer.status]
        self._status.classes(replace=f"status {answer.status}")
        self._steps.set_visibility(False)
        self._text.classes(replace="answer").props["aria-busy"] = "false"
        self._text.clear()
        with self._text:
            for paragraph in answer.text.split("\n"):
                if paragraph.strip():
                    self._paragraph(paragraph, answer)
        with self._rest:
            for worse in answer.degraded:
                html.p(worse).classes("warning")
            if answer.citations:
                self._sources(answer)
            if answer.status == "waiting":
                self._wait_for(answer)
            else:
                FeedbackBar(answer, self._visitor).build()
            Making(answer, self._visitor).build()
        self._look_at("start")

    def _wait_for(self, answer: Answer) -> None:
        """Nothing happens before a person decides; when one has, show what came of it."""
        html.p("Somebody who may approve decides under Approvals. Nothing happens before.").classes("dim")
        approval_id = answer.approval.approval_id if answer.approval else ""

        async def look() -> None:
            caller = await self._visitor.caller()
            approval = await self._visitor.system.approvals.get(approval_id, caller.tenant)
            if approval is None or approval.status == "pending":
                return
            if approval.status == "expired":
                again.cancel()
                self._status.text = "Nobody decided in time; nothing was done"
                return
            turns = await kept(self._visitor.runtime).turns(answer.thread_id, caller)
            turn = next(one for one in turns if one.answer_id == answer.answer_id)
            if turn.status in ("waiting", "unfinished"):
                return  # it is being carried out
            again.cancel()
            self._rest.clear()
            self._show(answer.model_copy(update={"status": turn.status, "text": turn.text}))
            self._status.text = f"{approval.status.capitalize()} by {approval.decided_by}"

        again = every(LOOK_AGAIN_S, look)

    def _paragraph(self, text: str, answer: Answer) -> None:
        known = {f"[{citation.marker}]": citation for citation in answer.citations}
        with html.p():
            for part in MARKER.split(text):
                if part in known:
                    self._opens(html.button(str(known[part].marker)).classes("cite"), known[part])
                elif part:
                    html.span(part)

    def _sources(self, answer: Answer) -> None:
        with html.ol().classes("sources").props('aria-label="Sources"'):
            for citation in answer.citations:
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
        """Its end while it comes about, and from its beginning once it can be read."""
        scroll = f"document.getElementById('{self._article.html_id}')?.scrollIntoView"
        ui.run_javascript(scroll + ("({block: 'start'})" if edge == "start" else "({block: 'end'})"))

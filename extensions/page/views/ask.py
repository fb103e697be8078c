"""The view to ask: the question, its plan and tokens as they come, the answer with its sources, earlier conversations."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import partial

from nicegui import background_tasks, html, ui
from nicegui.events import GenericEventArguments

from extensions.feedback.store import OutcomeStore
from extensions.page.session import Visitor, act, alert, refill, say, trace
from extensions.page.sharing import read_shared, select_readable
from extensions.page.views.attachment import Attachment
from extensions.page.views.conversations import Earlier
from extensions.page.views.documents import Upload
from extensions.page.views.examples import example_questions, newest_documents
from extensions.page.views.exchange import Exchange
from extensions.page.views.source import SourcePanel
from models.pricing import identity
from orchestration.requests import AnswerRequest
from serving.api.answers import check_length
from serving.api.conversations import require_conversations
from serving.http.streams import explain, follow


class AskView:
    def __init__(self, visitor: Visitor, source: SourcePanel, shared: str = "") -> None:
        """`shared` is the code of a conversation of somebody else, to read first."""
        self._shared = shared
        self._visitor = visitor
        self._source = source
        self._earlier = Earlier(visitor, self._begin_anew, self._go_on, self._is_deleted)
        self._attachment = Attachment(visitor, self._go_on_with_file)
        self._thread_id: str | None = None
        self._model = ""
        self._running: asyncio.Task[None] | None = None

    def build(self) -> None:
        with html.div().classes("asking"):
            self._earlier.build()
            with html.div().classes("conversation").on("keydown.escape", self._stop):
                # what is asked is in the article below, for the eye
                self._title = ui.label().classes("unseen").props("role=heading aria-level=1")
                self._turns = html.div().classes("turns")
                self._greet()
                with html.div().classes("composer") as self._composer:
                    self._attachment.build()
                    self._question = (
                        ui.textarea(placeholder="Ask a question")
                        .props('outlined autogrow dense autofocus aria-label="Question"')
                        .on("keydown.enter.exact.prevent", self._ask)
                    )
                    with html.div().classes("acts"):
                        html.span("Enter asks, Shift + Enter breaks the line, Escape stops").classes("dim hint")
                        self._earlier.opener()
                        self._attachment.choose()
                        self._models = html.select().classes("models").props('aria-label="Model"')
                        self._models.on("change", self._choose, js_handler="event => emit(event.target.value)")
                        self._models.set_visibility(False)
                        if self._visitor.may("write"):
                            act("Add a file", self._files().open, icon="upload_file")
                        self._new = act("New conversation", self._begin_anew, icon="add").classes("narrow")
                        self._halt = act("Stop", self._stop, "outline", icon="stop")
                        self._send = act("Ask", self._ask, "unelevated", icon="send")
        self._idle()
        self._name("")
        self._new.set_visibility(False)
        self._show_attach()
        ui.context.client.on_delete(self._stop)

    async def _offer_models(self) -> None:
        """Let the person choose among the models that they may, where there are several; what was chosen stays."""
        names = self._visitor.runtime.choices(await self._visitor.caller())
        self._models.set_visibility(bool(names))
        self._model = self._model if self._model in names else ""
        with refill(self._models):
            for name in ("", *names):
                option = html.option(name or f"{identity(self._visitor.system.models.chat)[1]} (usual)")
                option.props["value"] = name
                option.props["selected"] = name == self._model

    def _choose(self, event: GenericEventArguments) -> None:
        self._model = str(event.args)

    def _go_on_with_file(self) -> None:
        self._show_attach()
        self._question.run_method("focus")

    def _show_attach(self) -> None:
        self._attachment.offer(begins=self._thread_id is None)

    def _files(self) -> ui.dialog:
        """Build the dialog that takes files to ask about."""
        with ui.dialog().props('aria-label="Add a file"') as dialog, html.div().classes("card attach"):
            html.h2("Add a file to ask about")
            html.p(
                "It becomes a document of your tenant. Whoever you let read it can find it, until it is deleted under Documents."
            ).classes("dim")
            Upload(self._visitor, self._say_taken).build()
            act("Done", dialog.close, "unelevated")
        return dialog

    async def _say_taken(self) -> None:
        say("Read. Close this and ask.")
        await self._offer_examples()

    async def refresh(self) -> None:
        self._question.run_method("focus")
        await self._offer_models()
        await self._offer_examples()
        await self._earlier.refresh(self._thread_id)
        if self._shared:
            await self._show_shared()

    async def _show_shared(self) -> None:
        """Show what somebody shared, to read only, and then what one can ask oneself."""
        code, self._shared = self._shared, ""
        caller, system = await self._visitor.caller(), self._visitor.system
        turns = await read_shared(require_conversations(self._visitor.runtime, caller), code, caller)
        shown = await asyncio.to_thread(select_readable, turns, caller, system.policy, system.retrieval.ledger)
        self._clear(None)
        self._composer.set_visibility(False)
        with self._turns:
            alert(
                f"{turns[0][0].subject} shared this with you, to read. You see what your own rights allow.", kind="note"
            )
            for turn, is_readable in shown:
                self._show_exchange(turn.question).show_shared(turn, is_readable=is_readable)
            with html.div():
                act("Ask something yourself", self._begin_anew, "outline")
        self._name(shown[0][0].question)

    def _greet(self) -> None:
        with self._turns:
            self._empty = html.div().classes("empty")
        with self._empty:
            html.h1("Ask your documents")
            html.p("Answers show the passages that they rest on. Open one, and check it in its document.")
            if self._visitor.may("write"):
                html.p("To answer from more, add files here or under Documents.")
            self._none = html.p("There is no document yet that you may read.").classes("nothing")
            self._none.set_visibility(False)
            self._examples = html.ul().classes("examples").props('aria-label="Examples"')

    async def _offer_examples(self) -> None:
        if self._empty.is_deleted:
            return
        system, caller = self._visitor.system, await self._visitor.caller()
        folder = system.settings.observability.golden_set
        scope = system.policy.scope(caller)
        ledger = system.retrieval.ledger
        questions = await asyncio.to_thread(example_questions, folder, ledger, scope)
        documents = None if questions else await asyncio.to_thread(newest_documents, ledger, scope)
        if self._empty.is_deleted:  # a conversation was opened meanwhile
            return
        self._none.set_visibility(documents == [])
        with refill(self._examples):
            for question in questions:
                with html.li():
                    act(question, partial(self._begin, question), "outline")
            for document in documents or ():
                with html.li():
                    title, read = document.source.title or document.source.uri, self._source.read
                    act(title, partial(read, document.document_id), "outline", icon="description")

    def _ask(self) -> None:
        question = (self._question.value or "").strip()
        if question and self._running is None:
            self._question.value = ""
            self._begin(question)

    def _begin(self, question: str) -> None:
        if self._running is not None:
            return
        if not self._empty.is_deleted:  # as in a conversation that was opened again
            self._empty.set_visibility(False)
        self._name(self._title.text or question)
        self._halt.set_visibility(True)
        self._send.set_visibility(False)
        self._running = background_tasks.create(self._run(question), name="ask")

    async def _run(self, question: str) -> None:
        with self._turns:
            exchange = self._show_exchange(question)
            try:
                await self._answer(question, exchange)
            except asyncio.CancelledError:
                exchange.stop()
            except Exception as error:
                exchange.fail(explain(error).public)
                self._question.value = self._question.value or question  # to be sent again
            finally:
                self._running = None
                self._idle()
                if exchange.thread_id is not None and not exchange.is_gone:
                    self._thread_id = exchange.thread_id
                    self._new.set_visibility(True)
                    self._attachment.drop()
                    background_tasks.create(self._earlier.refresh(self._thread_id), name="earlier conversations")

    def _show_exchange(self, question: str) -> Exchange:
        return Exchange(question, self._visitor, self._source, again=self._begin, edit=self._edit, open_=self._go_on)

    def _edit(self, question: str) -> None:
        self._question.value = question
        self._question.run_method("focus")

    async def _answer(self, question: str, exchange: Exchange) -> None:
        runtime = self._visitor.runtime
        check_length(question, runtime.system.settings.orchestration.answers)
        file = self._attachment.messages if self._thread_id is None else ()
        request = AnswerRequest(question=question, thread_id=self._thread_id, since=file, model=self._model)
        async with self._visitor.acts() as caller, runtime.place("answers", caller):
            with trace("ask", caller.tenant):
                async with aclosing(follow(runtime.system.agent.stream(request, caller), runtime.lifecycle)) as events:
                    async for event in events:
                        if event is not None:
                            exchange.take(event)

    def _name(self, title: str) -> None:
        self._title.text = title
        self._title.set_visibility(bool(title))

    def _stop(self) -> None:
        if self._running is not None:
            self._running.cancel()

    def _idle(self) -> None:
        self._halt.set_visibility(False)
        self._send.set_visibility(True)

    async def _go_on(self, thread_id: str) -> None:
        caller = await self._visitor.caller()
        system = self._visitor.system
        turns = await require_conversations(self._visitor.runtime, caller).turns(thread_id, caller)
        own = {turn.answer_id for turn in turns}
        outcomes = await asyncio.to_thread(system.hooks.service(OutcomeStore).all, tenant=caller.tenant)
        judged = {outcome.answer_id: outcome for outcome in outcomes if outcome.answer_id in own}
        self._clear(thread_id)
        with self._turns:
            for turn in turns:
                self._show_exchange(turn.question).show_again(thread_id, turn, judged.get(turn.answer_id))
        self._name(turns[0].question)
        await self._earlier.refresh(thread_id)

    async def _is_deleted(self, thread_id: str) -> None:
        if thread_id == self._thread_id:
            await self._begin_anew()
        else:
            await self._earlier.refresh(self._thread_id)

    async def _begin_anew(self) -> None:
        self._clear(None)
        self._greet()
        await self._offer_examples()
        await self._earlier.refresh(None)

    def _clear(self, thread_id: str | None) -> None:
        self._stop()
        self._thread_id = thread_id
        self._composer.set_visibility(True)
        self._new.set_visibility(thread_id is not None)
        self._attachment.drop()
        self._turns.clear()
        self._name("")
        self._question.run_method("focus")

"""The documents view: documents with versions and dates, uploads, refused documents, deletion."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from functools import partial
from io import BytesIO

from fastapi import UploadFile
from nicegui import html, ui
from nicegui.events import MultiUploadEventArguments

from extensions.jobs import routes as jobs
from extensions.jobs.queue import Jobs
from extensions.jobs.store import JobItem
from extensions.page.session import Visitor, act, alert, confirm, every, pluralise, refill, say, show_errors
from extensions.page.views.source import SourcePanel
from foundation.errors import InvalidRequest
from foundation.types import EVERY_TENANT
from retrieval.documents import Refusal
from serving.api import documents
from serving.http.uploads import DocumentSummary

AT_ONCE = 50
LOOK_AGAIN_S = 0.4


class DocumentsView:
    def __init__(self, visitor: Visitor, source: SourcePanel) -> None:
        self._visitor = visitor
        self._source = source
        self._versions: list[list[DocumentSummary]] = []
        self._shown = AT_ONCE

    def build(self) -> None:
        with html.div().classes("sheet"):
            html.h1("Documents")
            lead = "Answers are made from these and from nothing else. Everybody sees what their key may read."
            html.p(lead).classes("lead")
            self._upload: Upload | None = None
            if refusal := self._visitor.refusal("write"):
                alert(f"You can read here, and not add or delete. {refusal}", kind="note")
            else:
                self._upload = Upload(self._visitor, self.refresh)
                self._upload.build()
            self._refused = html.div()
            with html.div().classes("above"):
                self._count = ui.label().classes("title").props("role=status")
                self._name = ui.input(placeholder="Find by name", on_change=self._fill).props(
                    'outlined dense clearable debounce=200 aria-label="Find by name"'
                )
            self._list = html.ul().classes("rows documents").props('aria-label="Documents"')
            self._asking = html.div()
            self._more = act("Show more", self._show_more)

    async def refresh(self) -> None:
        caller = await self._visitor.caller()
        ledger, scope = self._visitor.system.retrieval.ledger, self._visitor.system.policy.scope(caller)
        stored = await asyncio.to_thread(ledger.documents, scope)
        refused = await asyncio.to_thread(ledger.refusals, scope)
        self._versions = versions([DocumentSummary.of(document) for document in stored])
        if self._upload is not None:
            self._upload.offer({document.source.series for document in stored if document.source.series})
        self._fill()
        with refill(self._refused):
            if refused:
                self._refusals(refused)

    def _fill(self) -> None:
        wanted = (self._name.value or "").casefold().strip()
        series = [it for it in self._versions if any(wanted in f"{each.title} {each.uri}".casefold() for each in it)]
        self._count.text = pluralise(len(series), "document")
        with refill(self._list):
            for versions_shown in series[: self._shown]:
                with html.li():
                    self._row(versions_shown)
        self._list.set_visibility(bool(series))
        self._more.set_visibility(len(series) > self._shown)

    def _show_more(self) -> None:
        self._shown += AT_ONCE
        self._fill()

    def _row(self, shown_versions: Sequence[DocumentSummary]) -> None:
        with html.div().classes("grow"):
            self._document(shown_versions[0])
            if shown_versions[1:]:
                with html.details().classes("versions"):
                    html.summary(pluralise(len(shown_versions) - 1, "other version"))
                    for version in shown_versions[1:]:
                        self._document(version)

    def _document(self, document: DocumentSummary) -> None:
        today = self._visitor.system.context.clock.now().date()
        with html.div().classes("document superseded" if document.superseded else "document"):
            with html.div().classes("grow"):
                html.b(document.title or document.uri)
                html.div(" · ".join(said_of(document, today))).classes("dim")
            name = document.title or document.uri
            act("Read", partial(self._source.read, document.document_id)).props["aria-label"] = f"Read {name}"
            if self._may_delete(document.tenant):
                self._bin(name, document.uri, document.tenant, document.document_id)

    def _may_delete(self, tenant: str) -> bool:
        return self._visitor.may("write") and (tenant != EVERY_TENANT or self._visitor.may("operate"))

    def _bin(self, name: str, uri: str, tenant: str, document_id: str) -> None:
        button = ui.button(icon="delete", on_click=partial(self._delete, name, uri, tenant, document_id), color=None)
        button.props("flat dense round").classes("quiet").props["aria-label"] = f"Delete {name}"

    def _refusals(self, refused: Sequence[Refusal]) -> None:
        with html.div().classes("above"):
            html.h2(f"{len(refused)} refused")
            if self._visitor.may("write"):
                act("Try again", self._retry, "outline", icon="refresh")
        with html.ul().classes("rows").props('aria-label="Refused documents"'):
            for refusal in refused[:AT_ONCE]:
                with html.li():
                    html.b(refusal.reason.replace("_", " ").capitalize()).classes("status bad")
                    with html.div().classes("grow"):
                        html.div(refusal.uri)
                        html.div(refusal.message).classes("dim")
                    if self._may_delete(refusal.tenant):
                        self._bin(refusal.uri, refusal.uri, refusal.tenant, refusal.source.document_id)
            if refused[AT_ONCE:]:
                html.li(f"and {len(refused) - AT_ONCE} more").classes("dim")

    async def _retry(self) -> None:
        with show_errors():
            async with self._visitor.acts("write") as caller:
                report = await asyncio.to_thread(documents.retry, caller, self._visitor.runtime)
            count = report.added + report.replaced
            say(f"{count} taken in, {len(report.refused)} refused again.", kind="good" if count else "bad")
            await self.refresh()

    async def _delete(self, name: str, uri: str, tenant: str, document_id: str) -> None:
        what = "Afterwards nobody finds anything of it. Answers that quoted it keep their quotes."
        if not await confirm(self._asking, f"Delete “{name}”?", what):
            return
        with show_errors():
            shared = tenant == EVERY_TENANT
            async with self._visitor.acts("write") as caller:
                where = (uri, caller, self._visitor.runtime)
                await asyncio.to_thread(partial(documents.delete, *where, shared=shared, document_id=document_id))
            say(f"Deleted: {name}")
            await self.refresh()


class Upload:
    """Uploads dropped or chosen files. A job of the API ingests them, and continues when the page is closed."""

    def __init__(self, visitor: Visitor, done: Callable[[], Awaitable[None]]) -> None:
        self._visitor = visitor
        self._done = done

    def build(self) -> None:
        most = self._visitor.system.settings.serving.http.max_body_bytes
        too_many = f"Not sent: at most {jobs.MOST_FILES} files and {most // 10**6} MB at once."
        lost = "The files could not be sent. Look at the connection."
        with html.div().classes("upload"):
            with html.div().classes("drop"):
                self._files = ui.upload(
                    multiple=True, auto_upload=True, max_files=jobs.MOST_FILES, max_total_size=most,
                    on_multi_upload=self._take, on_rejected=lambda: say(too_many, kind="bad"),
                ).on("failed", lambda: say(lost, kind="bad"))  # fmt: skip
                with html.div().classes("says"):
                    ui.icon("upload_file").props("aria-hidden=true")
                    with html.div().classes("grow"):
                        html.div("Drop files here")
                        html.div(
                            "Markdown, HTML, PDF, Word, PowerPoint, Excel, mail, CSV, JSON, text. One of the same name is "
                            f"replaced; what it said on earlier days is kept. At most {most // 10**6} MB together."
                        ).classes("dim")
                    choose = ui.button("Choose files").props("unelevated dense no-caps")
            choose.on("click", js_handler=f"() => getElement({self._files.id}).$refs.qRef.pickFiles()")
            with html.details().classes("about"):
                html.summary("Version, dates and who may read")
                self._about()
            self._jobs = html.div()

    def _about(self) -> None:
        # what is said here also applies to later files, until it is changed
        groups = sorted(self._visitor.seen.groups)
        with html.div().classes("fields"):
            self._series = ui.input("Version of (series)").props("outlined dense clearable")
            self._series.props["hint"] = "The same name for all versions of one document"
            self._effective = ui.input("In force from").props("outlined dense type=date stack-label clearable")
            self._published = ui.input("Published on").props("outlined dense type=date stack-label clearable")
            self._groups = ui.select(groups, label="Only for these groups of yours", multiple=True, value=[])
            self._groups.props("outlined dense use-chips")
            self._groups.props["hint"] = "None chosen: everybody in the tenant" if groups else "Your key is in no group"
            self._groups.set_enabled(bool(groups))
        if self._visitor.may("operate"):
            self._shared = ui.checkbox("For every tenant")

    def offer(self, series: set[str]) -> None:
        self._series.set_autocomplete(sorted(series))

    async def _take(self, sent: MultiUploadEventArguments) -> None:
        with show_errors():
            files = [UploadFile(BytesIO(await file.read()), filename=file.name) for file in sent.files]
            shared = self._visitor.may("operate") and bool(self._shared.value)
            series = (self._series.value or "").strip() or None
            effective, published = _day(self._effective), _day(self._published)
            if series and effective is None:
                raise InvalidRequest(f'Say from which day on this version of "{series}" is in force. Nothing was sent.')
            async with self._visitor.acts("write") as caller:
                job = await jobs.ingest(
                    files, caller, self._visitor.runtime, groups=self._groups.value, series=series,
                    effective_from=effective, published=published, shared=shared,
                )  # fmt: skip
            with self._jobs:
                Progress(job.job_id, job.total, self._visitor, self._done)
        self._files.reset()


def _day(field: ui.input) -> date | None:
    try:
        return date.fromisoformat(field.value) if field.value else None
    except ValueError as error:
        raise InvalidRequest(f'"{field.value}" is no day. Write it as 2026-03-31.') from error


class Progress:
    """The progress of a job, and the result for each file."""

    def __init__(self, job_id: str, total: int, visitor: Visitor, done: Callable[[], Awaitable[None]]) -> None:
        self._job_id, self._visitor, self._done = job_id, visitor, done
        with html.div().classes("progress"):
            self._says = ui.label("Sent").classes("dim").props("role=status")
            self._bar = html.progress(max=total, value=0).props('aria-label="Files taken in"')
            self._items = html.ul().classes("rows")
            self._again = every(LOOK_AGAIN_S, self._look)

    async def _look(self) -> None:
        caller = await self._visitor.caller()
        store = self._visitor.runtime.part(Jobs).store
        job = await store.get(self._job_id, caller)
        items = await store.items(self._job_id)
        ended = job.done + job.failed
        self._bar.props["value"] = ended
        self._says.text = f"{ended} of {job.total}" + (f", {job.failed} refused" if job.failed else "")
        with refill(self._items):
            for item in items:
                _item(item, being_read=item.number == ended + 1)
        if job.status != "running":
            self._again.cancel()
            self._bar.set_visibility(False)
            await self._done()


def _item(item: JobItem, *, being_read: bool) -> None:
    outcome = item.outcome or {}
    reason = str(outcome.get("reason") or "Failed").replace("_", " ").capitalize()
    words, how, why = {
        "done": ("Taken in", "answered", f"{pluralise(outcome.get('chunks', 0), 'passage')}, found from now on"),
        "failed": (reason, "bad", outcome.get("detail", "")),
        "waiting": ("Being read" if being_read else "Waits", "working" if being_read else "", ""),
    }[item.status]
    with html.li():
        html.b(words).classes(f"status {how}")
        with html.div().classes("grow"):
            html.div(item.name)
            html.div(why).classes("dim")


def versions(documents_known: Sequence[DocumentSummary]) -> list[list[DocumentSummary]]:
    """Group the documents of a series: the version in force first, then from the newest to the oldest."""
    together: dict[tuple[str, str], list[DocumentSummary]] = defaultdict(list)
    for document in documents_known:
        together[document.tenant, f"series {document.series}" if document.series else document.uri].append(document)
    for group in together.values():
        group.sort(key=lambda document: (document.superseded, -(document.effective_from or date.min).toordinal()))
    return sorted(together.values(), key=lambda group: (group[0].title or group[0].uri).casefold())


def said_of(document: DocumentSummary, today: date) -> list[str]:
    """Return a document's details for the list."""
    lines = [document.uri]
    if document.effective_from:
        since = "superseded, from" if document.superseded else "in force since"
        ahead = "in force from" if document.effective_from > today else since
        lines.append(f"{ahead} {document.effective_from:%d %b %Y}")
    if document.published:
        lines.append(f"published {document.published:%d %b %Y}")
    lines.append(f"added {document.ingested_at:%d %b %Y}")
    if document.tenant == EVERY_TENANT:
        lines.append("for every tenant")
    if document.groups:
        lines.append(f"only for {', '.join(document.groups)}")
    return lines

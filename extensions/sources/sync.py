"""One pass over a source: what is gone or may no longer be read goes first, then what is new is read.

Each page is written down when it is done, so a pass that was broken off goes on where it was. A document that the ledger has and
the state has not yet is offered again, and found unchanged. One that somebody wrote over or deleted here is read anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from extensions.sources.contract import Connector, CursorLost, Listed, Page, Readers
from extensions.sources.settings import Connection
from extensions.sources.state import Known, SourceState
from foundation.clock import Clock
from foundation.stores.crashpoints import crash_point
from retrieval.contract import DocumentLedger
from retrieval.documents import Source
from retrieval.ingest.folders import refuse_size
from retrieval.ingest.pipeline import Ingestor
from retrieval.ingest.preparation import Item

log = logging.getLogger(__name__)
# Documents below which a share says nothing
FEW = 20


@dataclass
class SyncReport:
    """What a pass over one source did."""

    source: str
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    rights_changed: int = 0
    removed: int = 0
    for_nobody: int = 0
    """Objects that nobody here may read, so that they are no documents."""
    refused: list[str] = field(default_factory=list)
    kept_back: int = 0
    """Documents that the source no longer lists and that are still here, because they are too many at once."""
    seconds: float = 0.0


@dataclass
class Sync:
    """Keeps the documents of one source in step with it."""

    connection: Connection
    connector: Connector
    state: SourceState
    ingestor: Ingestor
    ledger: DocumentLedger
    clock: Clock
    max_bytes: int
    most_gone: float = 0.5
    progress: Callable[[int], None] = lambda _: None

    def run(self) -> SyncReport:
        """Go over all objects, or go on where a pass was broken off. Raises UpstreamDown: nothing is lost, and nothing goes for it."""
        report, began_s = SyncReport(self.connection.name), self.clock.monotonic_s()
        name = self.connection.name
        under_way = self.state.progress(name)
        number, done = under_way.number, 0
        for page in self._pages(under_way.cursor, number):
            self._take(page, number, report)
            done += len(page.objects)
            self.progress(done)
        self._take_out(self.state.not_seen(name, number), number, report)
        report.seconds = self.clock.monotonic_s() - began_s
        return report

    def _pages(self, cursor: str, number: int) -> Iterator[Page]:
        while True:
            try:
                page = self.connector.page(cursor)
            except CursorLost:
                if not cursor:
                    raise
                log.info("%s no longer knows where its listing was; it begins anew", self.connection.name)
                self.state.restart(self.connection.name, number)
                cursor = ""
                continue
            yield page
            cursor = page.cursor
            if not cursor:
                return

    def _take(self, page: Page, number: int, report: SyncReport) -> None:
        name, now = self.connection.name, self.clock.now().isoformat()
        known = self.state.known(name, [it.key for it in page.objects])
        wanted: list[tuple[Listed, Source]] = []
        kept: list[Known] = []
        for listed in page.objects:
            before, source = known.get(listed.key), self._source_of(listed)
            if before and before.document_id and (source is None or before.document_id != source.document_id):
                self._delete(before)  # a right that is gone goes before anything is read
                report.rights_changed += before.readers != listed.readers
                before = None
            if source is None:
                report.for_nobody += 1
                kept.append(self._noted(listed, None, now))
            elif (
                before
                and before.uri
                and (before.version, before.name) == (listed.version, listed.name)
                and self._is_kept(before, source)
            ):
                report.unchanged += 1
                kept.append(self._noted(listed, source, now, refused=not before.document_id))
            else:
                wanted.append((listed, source))
        crash_point("revoked")
        kept += self._read(wanted, now, report)
        self.state.keep(name, kept, number, page.cursor)

    def _read(self, wanted: Sequence[tuple[Listed, Source]], now: str, report: SyncReport) -> list[Known]:
        gone: set[str] = set()

        def items() -> Iterator[Item]:
            for listed, source in wanted:
                content = self.connector.read(listed.key, self.max_bytes + 1)
                if content is None:  # since it was listed
                    gone.add(listed.key)
                elif len(content) > self.max_bytes:
                    yield Item(source, b"", listed.name, refuse_size(listed.name, self.max_bytes))
                else:
                    yield Item(source, content, listed.name)

        done = self.ingestor.ingest(items())
        crash_point("taken_in")
        report.added += done.added
        report.replaced += done.replaced
        report.unchanged += done.unchanged
        report.refused += [f"{it.uri}: {it.message}" for it in done.refused]
        refused = {it.source.document_id for it in done.refused}
        return [
            self._noted(listed, source, now, refused=source.document_id in refused)
            for listed, source in wanted
            if listed.key not in gone
        ]

    def _take_out(self, gone: Sequence[Known], number: int, report: SyncReport) -> None:
        name = self.connection.name
        documents = [it for it in gone if it.document_id]
        here = self.state.count(name)
        if len(documents) >= FEW and len(documents) > self.most_gone * here:
            report.kept_back = len(documents)
            self.state.restart(name, number)
            return
        for it in documents:
            self._delete(it)
        report.removed += len(documents)
        self.state.end(name, number)

    def _delete(self, known: Known) -> None:
        self.ingestor.delete(known.uri, self.connection.tenant, scope=None, document_id=known.document_id)

    def _is_kept(self, known: Known, source: Source) -> bool:
        """Whether the document is still the source's: nobody has written over it here, or deleted it."""
        if not known.document_id:
            return True  # it was refused, and there is nothing to write over
        stored = self.ledger.find(known.document_id)
        return stored is not None and stored.source.origin == source.origin

    def _source_of(self, listed: Listed) -> Source | None:
        """Return the document of an object; `None` where nobody here may read it."""
        groups = groups_of(listed.readers, self.connection.groups)
        if groups is None:
            return None
        name = self.connection.name
        return Source(f"{name}/{listed.name}", self.connection.tenant, groups, origin=f"source:{name}")

    def _noted(self, listed: Listed, source: Source | None, at: str, *, refused: bool = False) -> Known:
        uri = source.uri if source else ""
        document_id = source.document_id if source and not refused else ""
        return Known(listed.key, listed.name, listed.version, listed.readers, document_id, uri, at)


def groups_of(readers: Readers, named: Mapping[str, str]) -> frozenset[str] | None:
    """Return the groups here of a source's readers: none for everybody, `None` where nobody here is among them."""
    if readers is None:
        return frozenset()
    return frozenset(named[reader] for reader in readers if reader in named) or None

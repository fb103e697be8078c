"""The ingest pipeline: parse, cut, embed, commit to the ledger; then the vector index catches up.

Embedding takes nearly all of the time, so the passages of many documents are embedded together and none twice. A document is
reported as stored once its transaction has committed; the index follows and may fail without losing anything.
"""

import logging
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial

from foundation import names, tracing
from foundation.clock import Clock
from foundation.errors import ComponentError, Conflict, DocumentRefused, Forbidden
from foundation.stores.crashpoints import crash_point
from foundation.types import EVERY_TENANT, Scope
from models.contract import Embeddings
from models.embedding import on_behalf_of
from retrieval.contract import Chunker, DocumentLedger, VectorIndex
from retrieval.documents import Document, Entry, Parsed, Refusal, Source
from retrieval.index.maintenance import SameParts, catch_up
from retrieval.ingest.document_history import find_replaced, readable, replace_document, versions
from retrieval.ingest.parsing import find_newer_parser
from retrieval.ingest.preparation import (
    Item,
    Outcome,
    Preparation,
    PreparedDocument,
    Workers,
    embed_passages,
    hash_item,
)
from retrieval.ingest.refused_files import RefusedFiles
from retrieval.tables.row_codec import scope_text

log = logging.getLogger(__name__)

# Most batches that are being embedded or wait for it, so that few documents are in memory at a time
UNDER_WAY = 2
# Most items that are prepared and committed together, and bytes from which another batch begins
SENT_ITEMS, SENT_BYTES = 64, 1 << 19


Outcomes = Iterator[list[Outcome]]
# A check that raises where an ingest may not go on; `go_on` never does
Demand = Callable[[], object]


def go_on() -> None: ...


@dataclass(slots=True)
class IngestReport:
    """The counts of an ingest. Each item is in exactly one of the first four."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    refused: tuple[Refusal, ...] = ()
    chunks: int = 0
    embedded: int = 0
    """Passages embedded, of the `chunks` written; the others were stored before, in an earlier version or elsewhere."""
    seconds: float = 0.0

    @property
    def handled_count(self) -> int:
        return self.added + self.replaced + self.unchanged + len(self.refused)


@dataclass(slots=True)
class Intake:
    """One ingest: what its writer may read, what may stop it, whom it tells, and its counts so far."""

    scope: Scope | None
    demand: Demand = go_on
    progress: Callable[[int], None] = lambda _: None
    report: IngestReport = field(default_factory=IngestReport)


class Ingestor:
    """Adds, replaces and deletes documents. Threads parse and embed in parallel, and commit one at a time."""

    def __init__(
        self,
        *,
        ledger: DocumentLedger,
        vectors: VectorIndex,
        embedder: Embeddings,
        chunker: Chunker,
        parse: Callable[[bytes, str], Parsed],
        clock: Clock,
        refused: RefusedFiles | None = None,
        same_parts: SameParts | None = None,
        workers: Workers | None = None,
        keep_replaced: bool = True,
        find_newer: Callable[[str, Collection[str]], str | None] = find_newer_parser,
    ) -> None:
        """`refused` keeps files for `retry`; `workers` prepare documents for `ingest` elsewhere."""
        self._find_newer = find_newer
        self._ledger, self._vectors, self._embedder = ledger, vectors, embedder
        self._same_parts, self._keep_replaced = same_parts, keep_replaced
        self.preparation = Preparation(embedder=embedder, chunker=chunker, parse=parse)
        self._clock, self._refused, self._workers = clock, refused, workers
        self._committing = threading.Lock()

    def ingest(
        self, items: Iterable[Item], *, scope: Scope | None = None, progress: Callable[[int], None] = lambda _: None
    ) -> IngestReport:
        """Ingest every item. A document that is refused is recorded with its reason, and the others go on.

        `scope` is what the writer may read, and so replace and store; `None`: everything, for the owner of the machine.
        `progress` is called with the items done. Raises Forbidden: a document is out of `scope`. ComponentError: the
        embedder or the ledger failed. Documents committed before stay; none is half-written.
        """
        intake = Intake(scope, progress=progress)
        if self._workers:
            return self._take(items, self._workers, intake)
        embedding = ThreadPoolExecutor(1, "ingest-embed")
        try:
            return self._take(items, partial(self._prepare_ahead, embedding, intake), intake)
        finally:
            embedding.shutdown(cancel_futures=True)

    def ingest_one(self, item: Item, *, scope: Scope | None, demand: Demand = go_on) -> Document:
        """Ingest one document and return it as stored. `demand` may raise before it is embedded or written.

        Raises DocumentRefused, which is recorded; Forbidden; ComponentError: nothing is stored.
        """
        intake = Intake(scope, demand)
        prepare = partial(map, lambda batch: self._embed(list(map(self.preparation.split, batch)), intake))
        report = self._take([item], prepare, intake)
        if report.refused:
            refusal = report.refused[0]
            raise DocumentRefused(refusal.message, reason=refusal.reason)
        stored = self._ledger.find(item.source.document_id)
        if stored is None:
            raise Conflict(f"{item.source.uri} was deleted by somebody else just after it was stored. Add it again.")
        return stored

    def retry(
        self, *tenants: str, scope: Scope | None, progress: Callable[[int], None] = lambda _: None
    ) -> IngestReport:
        """Ingest again the stored refused files of these tenants that `scope` could read. Raises as `ingest`."""
        items = self._refused.items(*tenants) if self._refused else iter(())
        return self.ingest((item for item in items if item.source.is_readable(scope)), scope=scope, progress=progress)

    def delete(self, uri: str, tenant: str, *, scope: Scope | None, document_id: str | None = None) -> bool:
        """Delete a document that `scope` may read, with its earlier versions and refusals; return whether there was
        one. Raises Conflict: several documents have that name; `document_id` must say which.
        """
        with self._committing:
            named = readable(self._ledger, tenant, uri, scope)
            documents = [document for document in named if document_id in (None, document.document_id)]
            if len(documents) > 1:
                raise Conflict(
                    f"{len(documents)} documents that you may read are named {uri}. Say which one goes by its document_id: "
                    f"{', '.join(document.document_id for document in documents)}."
                )
            refused = self._readable_refusals(tenant, uri, scope)
            gone = {refused_id for refused_id in refused if document_id in (None, refused_id)}
            for document in documents:
                gone |= {version.document_id for version in (document, *versions(self._ledger, document))}
            if gone:
                self._ledger.put([], gone=gone)
                crash_point("after_commit")
                self._follow()
        self._forget(gone)
        return bool(gone)

    def follow(self) -> bool:
        """Whether the index now has all that other processes wrote. Raises ComponentError; IndexRebuilding: with other parts."""
        if self._same_parts:
            self._same_parts.check()
        if self._ledger.sequence() != self._vectors.sequence():
            with self._committing:
                self._follow()
        return self._ledger.sequence() == self._vectors.sequence()

    def _take(
        self, items: Iterable[Item], prepare: Callable[[Iterator[list[Item]]], Outcomes], intake: Intake
    ) -> IngestReport:
        started, report = self._clock.monotonic_s(), intake.report
        under_way: Counter[str] = Counter()
        sent: deque[list[Item]] = deque()

        def batches() -> Iterator[list[Item]]:
            for batch in group_items(self._changed(items, under_way, intake)):
                sent.append(batch)
                yield batch

        with tracing.span(names.INGEST, layer="retrieval"):
            for outcomes in prepare(batches()):
                batch = sent.popleft()
                self._store(batch, outcomes, intake)
                under_way.subtract(name_key(item.source) for item in batch)
                under_way += Counter()  # forgets those at 0
                intake.progress(report.handled_count)
            if not (report.added or report.replaced):  # an index that is behind catches up all the same
                self._commit([], intake)
        report.seconds = self._clock.monotonic_s() - started
        return report

    def _changed(self, items: Iterable[Item], under_way: Counter[str], intake: Intake) -> Iterator[Item]:
        """Yield the items that the ledger does not have as they are, as far as it can tell before what is under way is stored."""
        for item in items:
            demand_readable(item.source, intake.scope)
            key = name_key(item.source)
            if under_way[key] or self._is_changed(item, intake):
                under_way[key] += 1
                yield item
            else:
                intake.progress(intake.report.handled_count)

    def _is_changed(self, item: Item, intake: Intake) -> bool:
        with self._refusing(item.source, intake):
            stored = find_replaced(self._ledger, item.source, intake.scope)
            same = stored is not None and stored.content_hash == hash_item(item)
            if not (stored and same) or self._find_newer(item.name, stored.parsers):
                return True
            intake.report.unchanged += 1
        return False

    @contextmanager
    def _refusing(self, source: Source, intake: Intake) -> Iterator[None]:
        """Tell only the writer what `find_replaced` refuses: others may not read the documents that it names."""
        try:
            yield
        except DocumentRefused as error:
            intake.report.refused += (self._refusal(source, error),)

    def _prepare_ahead(self, embedding: ThreadPoolExecutor, intake: Intake, batches: Iterator[list[Item]]) -> Outcomes:
        """Embed a batch while the next one is cut and the one before it is committed."""
        under_way: deque[Future[list[Outcome]]] = deque()
        for batch in batches:
            cuts = [self.preparation.split(item) for item in batch]
            under_way.append(embedding.submit(copy_context().run, self._embed, cuts, intake))
            while len(under_way) >= UNDER_WAY:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()

    def _embed(self, cuts: Sequence[Outcome], intake: Intake) -> list[Outcome]:
        # Stored vectors that the writer may read are used again; `same_parts` checks that they are of this embedder
        intake.demand()
        texts: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for cut in cuts:
            if isinstance(cut, PreparedDocument):
                texts[cut.tenant] |= dict.fromkeys(chunk.indexed_text for chunk in cut.chunks)
        stored = {
            (tenant, text): vector
            for tenant, own in texts.items()
            for text, vector in self._ledger.known_vectors(own, tenant, scope=intake.scope).items()
        }
        with on_behalf_of(*texts if len(texts) == 1 else [EVERY_TENANT]):
            return embed_passages(self._embedder, cuts, stored)

    def _store(self, batch: Sequence[Item], outcomes: Sequence[Outcome], intake: Intake) -> None:
        offers, report = list[Entry](), intake.report
        for item, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, DocumentRefused):
                intake.demand()
                refusal = self._refusal(item.source, outcome)
                self._ledger.refuse(refusal)
                report.refused += (refusal,)
                if self._refused and not item.unread:
                    self._refused.keep(item)
                continue
            title = item.source.title or outcome.parsed.title or item.source.uri
            source = replace(item.source, title=title, writer_reads=scope_text(intake.scope))
            offers.append(Entry(source, hash_item(item), outcome.parsed, outcome.chunks, outcome.vectors))
            report.embedded += outcome.embedded
        self._commit(offers, intake)

    def _refusal(self, source: Source, error: DocumentRefused) -> Refusal:
        details = (error.reason, str(error), self._clock.now())
        return Refusal(source.uri, source.tenant, *details, source.groups, source.data_class)

    def _commit(self, offers: Sequence[Entry], intake: Intake) -> None:
        entries, gone = list[Entry](), list[str]()
        with self._committing:
            if self._same_parts:
                self._same_parts.check()
            for offer in offers:
                with self._refusing(offer.source, intake):
                    new, old = self._change(offer, intake)
                    entries += new
                    gone += old
            if entries:
                intake.demand()  # inside the lock, since other commits may have taken long
                self._ledger.put(entries, gone=gone)
            crash_point("after_commit")
            self._follow()
        self._forget([*gone, *(offer.source.document_id for offer in offers)])

    def _change(self, offer: Entry, intake: Intake) -> tuple[list[Entry], list[str]]:
        # Called under the commit lock, when nobody else writes
        report, new, old = intake.report, [offer], list[str]()
        if replaced := find_replaced(self._ledger, offer.source, intake.scope):
            if replaced.holds(offer):  # an earlier item of this ingest, or another process, has stored it
                report.unchanged += 1
                return [], []
            reread = replaced.content_hash == offer.content_hash  # the text of a newer parser is no later version
            if reread:
                offer = replace(offer, ingested_at=replaced.ingested_at)
            keep, today = self._keep_replaced and not reread, self._clock.now().date()
            new, old = replace_document(self._ledger, offer, replaced, today, keep=keep)
        report.replaced += replaced is not None
        report.added += replaced is None
        report.chunks += len(offer.chunks)
        settled = self._readable_refusals(offer.source.tenant, offer.source.uri, intake.scope)
        return new, [*old, *settled - {offer.source.document_id}]

    def _readable_refusals(self, tenant: str, uri: str, scope: Scope | None) -> set[str]:
        sources = [refusal.source for refusal in self._ledger.refusals_of(tenant, uri=uri)]
        return {source.document_id for source in sources if source.is_readable(scope)}

    def _forget(self, document_ids: Iterable[str]) -> None:
        if self._refused:
            for document_id in document_ids:
                self._refused.forget(document_id)

    def _follow(self) -> None:
        # If this fails, the commit stands: readiness shows that the index is behind, keyword search already finds the
        # document, and the next commit or start catches up
        try:
            catch_up(self._ledger, self._vectors)
        except ComponentError as error:
            log.warning("The vector index could not follow the ledger; it will be tried again. %s", error)


def group_items(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Group items into batches, no document twice in one, since a batch is committed as a whole."""
    batch: dict[str, Item] = {}
    size = 0
    for item in items:
        key = name_key(item.source)
        if key in batch or len(batch) >= SENT_ITEMS or size >= SENT_BYTES:
            yield list(batch.values())
            batch, size = {}, 0
        batch[key] = item
        size += len(item.content)
    if batch:
        yield list(batch.values())


def name_key(source: Source) -> str:
    """Return a key that documents which may replace each other share."""
    return f"{source.tenant}\0{source.uri}"


def demand_readable(source: Source, scope: Scope | None) -> None:
    """Raise Forbidden where a writer's `scope` lacks the groups or the class of what they store."""
    if not source.is_readable(scope):
        groups = f"the groups {', '.join(sorted(source.groups))}" if source.groups else "everybody"
        raise Forbidden(
            f"You could not read this document yourself, so you may not store it: it is for {groups} and of the class "
            f"{source.data_class}. Name a group that you are in and a class that your role may see."
        )

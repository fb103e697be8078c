"""Documents into the ledger: parse, cut, embed, commit; then the vector index catches up.

Embedding takes nearly all of the time, so the passages of many documents are embedded together, the embedder never waits
for the disk, and a passage that is stored already is not embedded again. A document is acknowledged when its ledger
transaction has committed; the index follows and may fail without losing anything.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from foundation import names, tracing
from foundation.clock import Clock
from foundation.errors import ComponentError, Conflict, DocumentRefused, Forbidden
from foundation.stores.crashpoints import crash_point
from foundation.types import Scope
from models.contract import Embeddings
from models.embedding import embed
from retrieval.contract import (
    Chunker,
    Document,
    DocumentLedger,
    Entry,
    Parsed,
    Refusal,
    Source,
    VectorIndex,
    Vectors,
)
from retrieval.index.maintenance import SameParts, catch_up
from retrieval.ingest.batches import (
    AcceptedOffer,
    BatchLine,
    EmbeddedBatch,
    IngestReport,
    PendingDocument,
    SentItem,
    Tally,
    group_items,
    name_key,
)
from retrieval.ingest.document_history import Change, find_replaced, readable, replace_document, versions
from retrieval.ingest.preparation import Item, Preparation, Prepared, Refused, Workers, hash_item
from retrieval.ingest.sandbox import find_newer_parser
from retrieval.tables.row_codec import scope_text

if TYPE_CHECKING:
    from retrieval.ingest.quarantine import RefusedFiles

log = logging.getLogger(__name__)

BATCH = 256
"""Passages that are embedded and committed together."""


Demand = Callable[[], object]
"""Raises where an ingest may not go on."""


def go_on() -> None:
    """The `Demand` of whoever is never stopped."""


class Ingestor:
    """Adds, replaces and deletes documents. Safe to share between threads: they parse and embed side by side, and
    commit one after the other."""

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
    ) -> None:
        """`refused` keeps what is refused for `retry`; without it that is sent again by whoever has it. `workers` prepare
        what `ingest` takes, and this process commits it. `keep_replaced`: what a document said on earlier days stays, for
        who asks for such a day."""
        self._ledger, self._vectors, self._embedder = ledger, vectors, embedder
        self._same_parts, self._keep_replaced = same_parts, keep_replaced
        self.preparation = Preparation(embedder=embedder, chunker=chunker, parse=parse)
        self._clock, self._refused, self._workers = clock, refused, workers
        self._committing = threading.Lock()

    def ingest(
        self, items: Iterable[Item], *, scope: Scope | None = None, progress: Callable[[int], None] | None = None
    ) -> IngestReport:
        """Take every item. A document that cannot be taken is recorded with its reason and stops none of the others.

        `scope` is what the writer may read. Nothing else is replaced or superseded, nor anything stored that they could not
        read themselves. `None` is the owner of the machine, who may read everything. `progress` is told how many items are
        done.

        Raises:
            Forbidden: the writer could not read a document of these groups or this class.
            ComponentError: the embedder or the ledger failed. What was committed before stays; nothing is half-written.
        """
        started, tally = self._clock.monotonic_s(), Tally()
        with tracing.span(names.INGEST, layer="retrieval"):
            if self._workers:
                self._ingest_with(self._workers, items, tally, scope, progress)
            else:
                self._ingest_here(items, tally, scope, progress)
        return tally.report(seconds=self._clock.monotonic_s() - started)

    def ingest_one(self, item: Item, *, scope: Scope | None, demand: Demand = go_on) -> Document:
        """Take one document of somebody who may read `scope`, as `ingest` does. `demand` is asked before its passages are embedded
        and right before anything is written: what it raises ends the ingest, and nothing has been stored.

        Raises:
            DocumentRefused: it cannot be taken; the refusal has been recorded.
            Forbidden: as `ingest`.
            ComponentError: the embedder or the ledger failed; nothing has been stored.
        """
        tally = Tally()
        with tracing.span(names.INGEST, layer="retrieval"):
            self._ingest_here([item], tally, scope, demand=demand)  # its caller waits
        if tally.refused:
            refusal = tally.refused[0]
            raise DocumentRefused(refusal.message, reason=refusal.reason)
        stored = self._ledger.find(item.source.document_id)
        if stored is None:
            raise Conflict(f"{item.source.uri} was deleted by somebody else just after it was stored. Add it again.")
        return stored

    def retry(self, *tenants: str, scope: Scope | None, progress: Callable[[int], None] | None = None) -> IngestReport:
        """Try the refused documents of these tenants that `scope` could read again, as they were offered.

        Raises:
            As `ingest`.
        """
        items = self._refused.items(*tenants) if self._refused else iter(())
        return self.ingest((item for item in items if item.source.is_readable(scope)), scope=scope, progress=progress)

    def delete(self, uri: str, tenant: str, *, scope: Scope | None, document_id: str | None = None) -> bool:
        """Whether there was such a document, or a refusal of one, that `scope` may read. Afterwards nobody finds it, nor its
        earlier versions. What `scope` may not read stays, and is not told from what does not exist.

        Raises:
            Conflict: several documents have that name; `document_id` says which is meant.
        """
        with self._committing:
            readable_documents = readable(self._ledger, tenant, uri, scope)
            documents = [document for document in readable_documents if document_id in (None, document.document_id)]
            if len(documents) > 1:
                raise Conflict(
                    f"{len(documents)} documents that you may read are named {uri}. Say which one goes by its document_id: "
                    f"{', '.join(document.document_id for document in documents)}."
                )
            refusals = [
                refusal.source
                for refusal in self._ledger.refusals_of(tenant, uri=uri)
                if refusal.source.is_readable(scope)
            ]
            gone = {refusal.document_id for refusal in refusals if document_id in (None, refusal.document_id)}
            for document in documents:
                gone |= {version.document_id for version in (document, *versions(self._ledger, document))}
            if gone:
                self._ledger.put([], gone=gone)
                crash_point("after_commit")
                self._follow()
        self._forget(gone)
        return bool(gone)

    def _ingest_here(
        self,
        items: Iterable[Item],
        tally: Tally,
        scope: Scope | None,
        progress: Callable[[int], None] | None = None,
        *,
        demand: Demand = go_on,
    ) -> None:
        pending: dict[str, PendingDocument] = {}
        with BatchLine(partial(self._embed, scope, demand), partial(self._commit, scope, demand), tally) as line:
            for done, item in enumerate(items, start=1):
                key = name_key(item.source)
                if key in pending or line.carries(key):  # the same name twice: the later one replaces the earlier one
                    line.send(pending)
                    line.arrive()
                    pending = {}
                self._prepare(item, pending, tally, scope, demand)
                if sum(len(document.chunks) for document in pending.values()) >= BATCH:
                    line.send(pending)
                    pending = {}
                if progress:
                    progress(done)
            line.send(pending, last=True)

    def _ingest_with(
        self,
        workers: Workers,
        items: Iterable[Item],
        tally: Tally,
        scope: Scope | None,
        progress: Callable[[int], None] | None,
    ) -> None:
        """The same in the same order; `progress` is told what is committed."""
        under_way: Counter[str] = Counter()
        sent: deque[list[SentItem]] = deque()

        def batches() -> Iterator[list[Item]]:
            for batch in group_items(self._to_send(items, under_way, tally, scope)):
                sent.append(batch)
                yield [sent_item.item for sent_item in batch]

        for results in workers.prepare(batches()):
            batch, pending, vectors = sent.popleft(), list[PendingDocument](), list[Vectors]()
            for sent_item, outcome in zip(batch, results, strict=True):
                accepted = sent_item.accepted or self._unless_unchanged(sent_item.item, tally, scope)
                if accepted and isinstance(outcome, Refused):
                    self._refuse(sent_item.item, outcome, tally)
                elif accepted and isinstance(outcome, Prepared):
                    pending.append(
                        PendingDocument(
                            sent_item.item, accepted.content_hash, outcome.parsed, outcome.chunks, accepted.new
                        )
                    )
                    vectors.append(outcome.vectors)
            self._commit(scope, go_on, pending, vectors)
            tally.count(pending, sum(len(document.chunks) for document in pending))
            under_way.subtract(name_key(sent_item.item.source) for sent_item in batch)
            under_way += Counter()  # forgets those at 0
            if progress:
                progress(tally.handled_count)

    def _to_send(
        self, items: Iterable[Item], under_way: Counter[str], tally: Tally, scope: Scope | None
    ) -> Iterator[SentItem]:
        for item in items:
            key = name_key(item.source)
            if under_way[key]:  # what the ledger holds says nothing yet: it is asked when this item's turn comes
                sent = SentItem(item, None)
            elif accepted := self._unless_unchanged(item, tally, scope):
                sent = SentItem(item, accepted)
            else:
                continue
            under_way[key] += 1
            yield sent

    def _unless_unchanged(self, item: Item, tally: Tally, scope: Scope | None) -> AcceptedOffer | None:
        demand_readable(item.source, scope)
        digest = hash_item(item)
        try:
            replaced = find_replaced(self._ledger, item.source, scope)
        except (
            DocumentRefused
        ) as error:  # told to the writer alone: others may not read the documents that it speaks of
            tally.refused.append(self._refusal(item.source, Refused(error.reason, str(error))))
            return None
        if replaced and replaced.content_hash == digest and not find_newer_parser(item.name, replaced.parsers):
            tally.unchanged += 1
            return None
        return AcceptedOffer(digest, new=replaced is None)

    def _prepare(
        self, item: Item, pending: dict[str, PendingDocument], tally: Tally, scope: Scope | None, demand: Demand
    ) -> None:
        accepted = self._unless_unchanged(item, tally, scope)
        if accepted is None:
            return
        try:
            parsed, chunks = self.preparation.cut_chunks(item)
        except DocumentRefused as error:
            demand()
            self._refuse(item, Refused(error.reason, str(error)), tally)
            return
        pending[name_key(item.source)] = PendingDocument(item, accepted.content_hash, parsed, chunks, accepted.new)

    def _refuse(self, item: Item, refused: Refused, tally: Tally) -> None:
        refusal = self._refusal(item.source, refused)
        self._ledger.refuse(refusal)
        tally.refused.append(refusal)
        if self._refused and not item.unread:
            self._refused.keep(item)

    def _refusal(self, source: Source, refused: Refused) -> Refusal:
        details = (refused.reason, refused.message, self._clock.now())
        return Refusal(source.uri, source.tenant, *details, source.groups, source.data_class)

    def _embed(self, scope: Scope | None, demand: Demand, documents: Sequence[PendingDocument]) -> EmbeddedBatch:
        """Each text once, and none of which its tenant has a vector already that the writer may know of. That those are of
        this embedder is made sure when the system opens, and by `same_parts` before anything is committed."""
        demand()
        passages = [
            [(document.item.source.tenant, chunk.indexed_text) for chunk in document.chunks] for document in documents
        ]
        by_tenant: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for tenant, text in chain.from_iterable(passages):
            by_tenant[tenant][text] = None
        known_vectors = {
            (tenant, text): vector
            for tenant, texts in by_tenant.items()
            for text, vector in self._ledger.known_vectors(texts, tenant, scope=scope).items()
        }
        new = list(
            dict.fromkeys(passage[1] for passage in chain.from_iterable(passages) if passage not in known_vectors)
        )
        new_vectors = dict(zip(new, embed(self._embedder, new), strict=True))
        rows = [
            np.stack(
                [known_vectors[passage] if passage in known_vectors else new_vectors[passage[1]] for passage in own]
            )
            for own in passages
        ]
        return EmbeddedBatch(rows, len(new))

    def _commit(
        self, scope: Scope | None, demand: Demand, documents: Sequence[PendingDocument], vectors: Sequence[Vectors]
    ) -> None:
        offers = [
            Entry(_complete_source(document, scope), document.content_hash, document.parsed, document.chunks, rows)
            for document, rows in zip(documents, vectors, strict=True)
        ]
        with self._committing:
            if self._same_parts:
                self._same_parts.check()
            changes = [self._change(offer, scope) for offer in offers]
            entries = [entry for change in changes for entry in change.entries]
            gone = [key for change in changes for key in change.gone]
            demand()  # behind the lock: others may have been written for long meanwhile
            if entries:
                self._ledger.put(entries, gone=gone)
            crash_point("after_commit")
            self._follow()
        self._forget([*gone, *(offer.source.document_id for offer in offers)])

    def _change(self, offer: Entry, scope: Scope | None) -> Change:
        """What has to change for it, looked up when nobody else writes."""
        today = self._clock.now().date()
        replaced = find_replaced(self._ledger, offer.source, scope)
        change = Change([offer], [])
        if replaced is not None:
            reread = replaced.content_hash == offer.content_hash  # what a newer parser finds is no later version
            if reread:
                offer = replace(offer, ingested_at=replaced.ingested_at)
            keep = self._keep_replaced and not reread
            change = replace_document(self._ledger, offer, replaced, today, keep=keep)
        refusals = [refusal.source for refusal in self._ledger.refusals_of(offer.source.tenant, uri=offer.source.uri)]
        settled = {source.document_id for source in refusals if source.is_readable(scope)} - {offer.source.document_id}
        return Change(change.entries, [*change.gone, *settled])

    def _forget(self, document_ids: Iterable[str]) -> None:
        if self._refused:
            for document_id in document_ids:
                self._refused.forget(document_id)

    def _follow(self) -> None:
        """Bring the index up to the ledger. When it cannot, the commit stands: the index is behind, which readiness
        shows, keyword search finds the document already, and the next commit or start makes up for it."""
        try:
            catch_up(self._ledger, self._vectors)
        except ComponentError as error:
            log.warning("The vector index could not follow the ledger; it will be tried again. %s", error)


def demand_readable(source: Source, scope: Scope | None) -> None:
    """What somebody stores they can read.

    Raises:
        Forbidden: a document of these groups and this class would be out of their sight.
    """
    if not source.is_readable(scope):
        groups = f"the groups {', '.join(sorted(source.groups))}" if source.groups else "everybody"
        raise Forbidden(
            f"You could not read this document yourself, so you may not store it: it is for {groups} and of the class "
            f"{source.data_class}. Name a group that you are in and a class that your role may see."
        )


def _complete_source(pending: PendingDocument, scope: Scope | None) -> Source:
    source = replace(pending.item.source, writer_reads=scope_text(scope))
    return source if source.title else replace(source, title=pending.parsed.title or source.uri)

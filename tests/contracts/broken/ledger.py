"""Ledgers with one fault each, and the promise that must catch it. Each stands before a real one and spoils one thing."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np

from foundation.errors import StoreUnavailable
from foundation.types import EVERY_TENANT, Scope
from retrieval.documents import Document, Entry, Hit, Refusal, Source, VectorItem, Vectors
from retrieval.filters import Where


class Healthy:
    """Passes everything on."""

    caught_by: str | None = None

    def __init__(self, real: Any) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class TrimsTexts(Healthy):
    caught_by = "keeps_a_document_exactly"

    def text(self, document_id: str, scope: Scope) -> str | None:
        text: str | None = self.real.text(document_id, scope)
        return text.strip() if text else text


class ForgetsTheParsers(Healthy):
    caught_by = "keeps_which_parsers_read_a_document"

    def put(self, entries: Sequence[Entry], *, gone: Collection[str] = ()) -> list[Document]:
        nameless = [replace(entry, parsed=replace(entry.parsed, parsers=())) for entry in entries]
        stored: list[Document] = self.real.put(nameless, gone=gone)
        return stored


class ForgetsTheParsersOfAReindex(Healthy):
    """Every document would be read anew after it."""

    caught_by = "keeps_which_parsers_read_a_document"

    def entries(self) -> Iterator[Entry]:
        for entry in self.real.entries():
            yield replace(entry, parsed=replace(entry.parsed, parsers=()))


class DatesEverythingToday(Healthy):
    caught_by = "keeps_the_day_that_an_entry_brings"

    def put(self, entries: Sequence[Entry], *, gone: Collection[str] = ()) -> list[Document]:
        stored: list[Document] = self.real.put([replace(entry, ingested_at=None) for entry in entries], gone=gone)
        return stored


class LosesPages(Healthy):
    caught_by = "gives_back_entries_for_a_reindex"

    def entries(self) -> Iterator[Entry]:
        for entry in self.real.entries():
            yield replace(entry, parsed=replace(entry.parsed, pages=None))


class ListsEveryTenants(Healthy):
    caught_by = "gives_back_one_document_and_those_of_a_name_or_a_folder"

    def documents_where(self, tenant: str, **asked: Any) -> list[Document]:
        return [one for each in (tenant, "globex") for one in self.real.documents_where(each, **asked)]


class ForgetsVersions(Healthy):
    caught_by = "gives_back_one_document_and_those_of_a_name_or_a_folder"

    def documents_where(self, tenant: str, *, version_of: str | None = None, **asked: Any) -> list[Document]:
        del version_of
        found: list[Document] = self.real.documents_where(tenant, **asked)
        return found


class NamesByUriAlone(Healthy):
    caught_by = "keeps_documents_of_one_name_apart_by_their_readers"

    def put(self, entries: Sequence[Entry], *, gone: Collection[str] = ()) -> list[Document]:
        named = {
            one.document_id
            for each in entries
            for one in self.real.documents_where(each.source.tenant, uri=each.source.uri)
        }
        stored: list[Document] = self.real.put(entries, gone={*gone, *named})
        return stored


class ForgetsWhatIsGone(Healthy):
    caught_by = "puts_and_deletes_in_one_change"

    def put(self, entries: Sequence[Entry], *, gone: Collection[str] = ()) -> list[Document]:
        stored: list[Document] = self.real.put(entries)
        return stored


class ForgetsWhoWrote(Healthy):
    caught_by = "lets_nobody_supersede_what_they_could_not_read"

    def put(self, entries: Sequence[Entry], *, gone: Collection[str] = ()) -> list[Document]:
        anybody = [replace(each, source=replace(each.source, writer_reads=None)) for each in entries]
        stored: list[Document] = self.real.put(anybody, gone=gone)
        return stored


class ForgetsWhatItIsAVersionOf(Healthy):
    caught_by = "lets_a_document_supersede_its_own_earlier_versions"

    def put(self, entries: Sequence[Entry], *, gone: Collection[str] = ()) -> list[Document]:
        alone = [replace(each, source=replace(each.source, version_of=None)) for each in entries]
        stored: list[Document] = self.real.put(alone, gone=gone)
        return stored


class ShowsRefusalsToEverybody(Healthy):
    caught_by = "shows_refusals_to_those_who_could_have_read_the_document"

    def refusals(self, scope: Scope) -> list[Refusal]:
        found: list[Refusal] = self.real.refusals(replace(scope, groups=frozenset({"board"}), classes=None))
        return found


class TellsHiddenTexts(Healthy):
    caught_by = "tells_no_writer_which_texts_are_stored_out_of_their_sight"

    def known_vectors(self, texts: Collection[str], tenant: str, *, scope: Scope | None = None) -> dict[str, Vectors]:
        del scope
        known: dict[str, Vectors] = self.real.known_vectors(texts, tenant)
        return known


class HalvesPrecision(Healthy):
    caught_by = "keeps_vectors_bit_by_bit"

    def embeddings(self, *, after: int = 0) -> Iterator[VectorItem]:
        for item in self.real.embeddings(after=after):
            yield replace(item, vector=item.vector.astype(np.float16).astype(np.float32))


class SortsHits(Healthy):
    caught_by = "answers_in_the_order_of_the_ids_it_was_asked_for"

    def hits(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, Hit]:
        return dict(sorted(self.real.hits(chunk_ids, scope, as_of=as_of).items()))


class ConsumesItsInput(Healthy):
    caught_by = "leaves_its_input_alone"

    def hits(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, Hit]:
        found: dict[str, Hit] = self.real.hits(chunk_ids, scope, as_of=as_of)
        if isinstance(chunk_ids, list):
            chunk_ids.clear()
        return found


class KeepsOldPassages(Healthy):
    """A replacement adds to what was there."""

    caught_by = "replaces_a_document_whole"

    def put(self, entries: Sequence[Entry], *, gone: Collection[str] = ()) -> list[Document]:
        old = {entry.source.document_id: entry for entry in self.real.entries()}
        merged = []
        for entry in entries:
            before = old.get(entry.source.document_id)
            kept = [
                c for c in (before.chunks if before else ()) if c.chunk_id not in {n.chunk_id for n in entry.chunks}
            ]
            rows = [*entry.vectors, *[np.ones_like(entry.vectors[0])] * len(kept)]
            merged.append(replace(entry, chunks=[*entry.chunks, *kept], vectors=np.array(rows, dtype=np.float32)))
        stored: list[Document] = self.real.put(merged, gone=gone)
        return stored


class DeletesByUriAlone(Healthy):
    caught_by = "tells_documents_of_two_tenants_apart_that_share_a_uri"

    def delete(self, document_id: str) -> bool:
        uri = self.real.find(document_id).source.uri
        return {True} <= {self.real.delete(Source(uri, each).document_id) for each in ("acme", "globex", EVERY_TENANT)}


class ForgetsTheKeywordIndex(Healthy):
    """Words of a deleted document are still found."""

    caught_by = "deletes_without_a_trace"

    def __init__(self, real: Any) -> None:
        super().__init__(real)
        self.seen: dict[str, Hit] = {}

    def delete(self, document_id: str) -> bool:
        scope = Scope("acme")
        found = self.real.keyword_search("refunds", scope, limit=9, as_of=None)
        self.seen = self.real.hits([chunk_id for chunk_id, *_ in found], scope, as_of=None)
        return bool(self.real.delete(document_id))

    def keyword_search(
        self, query: str, scope: Scope, *, limit: int, as_of: date | None, where: Where | None = None
    ) -> list[tuple[str, float, str]]:
        found = self.real.keyword_search(query, scope, limit=limit, as_of=as_of, where=where)
        known = {chunk_id for chunk_id, *_ in found}
        return [*found, *((key, 0.1, hit.chunk.document_id) for key, hit in self.seen.items() if key not in known)]


class AlwaysDeleted(Healthy):
    caught_by = "says_whether_there_was_something_to_delete"

    def delete(self, document_id: str) -> bool:
        self.real.delete(document_id)
        return True


class CollectsRefusals(Healthy):
    caught_by = "remembers_a_refusal_until_it_is_taken_or_deleted"

    def __init__(self, real: Any) -> None:
        super().__init__(real)
        self.collected: list[Refusal] = []

    def refuse(self, refusal: Refusal) -> None:
        self.collected.append(refusal)
        self.real.refuse(refusal)

    def refusals(self, scope: Scope) -> list[Refusal]:
        return self.collected


class DropsWhatItRefuses(Healthy):
    caught_by = "keeps_what_it_has_when_a_later_offer_is_refused"

    def refuse(self, refusal: Refusal) -> None:
        self.real.delete(refusal.source.document_id)
        self.real.refuse(refusal)


class StoresOneByOne(Healthy):
    caught_by = "stores_all_or_nothing"

    def put(self, entries: Sequence[Entry], *, gone: Collection[str] = ()) -> list[Document]:
        return [document for entry in entries for document in self.real.put([entry], gone=gone)]


class SwallowsErrors(Healthy):
    caught_by = "stores_all_or_nothing"

    def put(self, entries: Sequence[Entry], *, gone: Collection[str] = ()) -> list[Document]:
        try:
            stored: list[Document] = self.real.put(entries, gone=gone)
        except ValueError:
            return []
        return stored


class ShowsTextsToEveryone(Healthy):
    caught_by = "shows_every_scope_its_own_and_nothing_else"

    def text(self, document_id: str, scope: Scope) -> str | None:
        for entry in self.real.entries():
            if entry.source.document_id == document_id:
                text: str = entry.parsed.text
                return text
        return None


class IgnoresGroups(Healthy):
    caught_by = "shows_every_scope_its_own_and_nothing_else"

    def documents(self, scope: Scope) -> list[Document]:
        everyone = Scope(scope.tenant, frozenset({"board", *scope.groups}))
        found: list[Document] = self.real.documents(everyone)
        return found


class IgnoresTheClasses(Healthy):
    caught_by = "shows_only_the_classes_of_the_scope"

    def documents_of(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, str]:
        found: dict[str, str] = self.real.documents_of(chunk_ids, replace(scope, classes=None), as_of=as_of)
        return found


class TakesNoClassForAny(Healthy):
    caught_by = "shows_only_the_classes_of_the_scope"

    def documents(self, scope: Scope) -> list[Document]:
        found: list[Document] = self.real.documents(scope if scope.classes else replace(scope, classes=None))
        return found


class IgnoresTheTenant(Healthy):
    caught_by = "shows_every_scope_its_own_and_nothing_else"

    def hits(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, Hit]:
        tenants = {entry.source.tenant for entry in self.real.entries()}
        found: dict[str, Hit] = {}
        for tenant in sorted(tenants):
            found |= self.real.hits(chunk_ids, Scope(tenant, scope.groups), as_of=as_of)
        return found


class EmptyMeansEverything(Healthy):
    caught_by = "shows_every_scope_its_own_and_nothing_else"

    def documents(self, scope: Scope) -> list[Document]:
        found: list[Document] = self.real.documents(scope if scope.tenant else Scope("acme"))
        return found


class ShowsForeignRefusals(Healthy):
    caught_by = "shows_refusals_to_their_tenant"

    def refusals(self, scope: Scope) -> list[Refusal]:
        return [*self.real.refusals(scope), *self.real.refusals(Scope("globex"))]


class TellsForeignDocuments(Healthy):
    caught_by = "names_the_document_of_each_chunk_that_may_be_seen"

    def documents_of(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, str]:
        foreign: dict[str, str] = self.real.documents_of(chunk_ids, Scope("globex"), as_of=as_of)
        return foreign | self.real.documents_of(chunk_ids, scope, as_of=as_of)


class TellsVersionsOutOfForce(Healthy):
    caught_by = "names_the_document_of_each_chunk_that_may_be_seen"

    def documents_of(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, str]:
        found: dict[str, str] = self.real.documents_of(chunk_ids, scope, as_of=None)
        return found


class FiltersAfterwards(Healthy):
    """Cuts off at the limit, then drops what the scope forbids."""

    caught_by = "fills_the_limit_from_what_the_scope_admits"

    def keyword_search(
        self, query: str, scope: Scope, *, limit: int, as_of: date | None, where: Where | None = None
    ) -> list[tuple[str, float, str]]:
        ranked: set[tuple[str, float, str]] = set()
        for tenant in ("acme", "globex"):
            ranked |= set(self.real.keyword_search(query, Scope(tenant), limit=99, as_of=as_of, where=where))
        best = sorted(ranked, key=lambda match: -match[1])[:limit]
        admitted = self.real.hits([chunk_id for chunk_id, *_ in best], scope, as_of=as_of)
        return [match for match in best if match[0] in admitted]


class NamesThePassageForItsDocument(Healthy):
    caught_by = "names_the_document_of_each_match"

    def keyword_search(
        self, query: str, scope: Scope, *, limit: int, as_of: date | None, where: Where | None = None
    ) -> list[tuple[str, float, str]]:
        found = self.real.keyword_search(query, scope, limit=limit, as_of=as_of, where=where)
        return [(chunk_id, score, chunk_id) for chunk_id, score, _ in found]


class NewestAlways(Healthy):
    """Takes the newest version for the one in force, today's date notwithstanding."""

    caught_by = "knows_the_version_in_force_on_any_day"

    def keyword_search(
        self, query: str, scope: Scope, *, limit: int, as_of: date | None, where: Where | None = None
    ) -> list[tuple[str, float, str]]:
        found: list[tuple[str, float, str]] = self.real.keyword_search(query, scope, limit=limit, as_of=date.max)
        return found

    def hits(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, Hit]:
        found: dict[str, Hit] = self.real.hits(chunk_ids, scope, as_of=date.max)
        return found


class WorstFirst(Healthy):
    caught_by = "ranks_the_better_match_first"

    def keyword_search(
        self, query: str, scope: Scope, *, limit: int, as_of: date | None, where: Where | None = None
    ) -> list[tuple[str, float, str]]:
        found: list[tuple[str, float, str]] = self.real.keyword_search(
            query, scope, limit=limit, as_of=as_of, where=where
        )
        return found[::-1]


class WholeWordsOnly(Healthy):
    caught_by = "finds_other_forms_and_headings"

    def keyword_search(
        self, query: str, scope: Scope, *, limit: int, as_of: date | None, where: Where | None = None
    ) -> list[tuple[str, float, str]]:
        found = self.real.keyword_search(query, scope, limit=limit, as_of=as_of, where=where)
        hits = self.real.hits([chunk_id for chunk_id, *_ in found], scope, as_of=as_of)
        return [match for match in found if query in hits[match[0]].chunk.text]


class KnowsWordsBySpacesOnly(Healthy):
    caught_by = "finds_words_in_every_script"

    def keyword_search(
        self, query: str, scope: Scope, *, limit: int, as_of: date | None, where: Where | None = None
    ) -> list[tuple[str, float, str]]:
        found = self.real.keyword_search(query, scope, limit=limit, as_of=as_of, where=where)
        hits = self.real.hits([chunk_id for chunk_id, *_ in found], scope, as_of=as_of)
        if query.isascii():
            return list(found)
        return [match for match in found if query in hits[match[0]].chunk.text.split()]


class FoldsAccentsOnly(Healthy):
    caught_by = "finds_latin_letters_as_people_type_them"

    def keyword_search(
        self, query: str, scope: Scope, *, limit: int, as_of: date | None, where: Where | None = None
    ) -> list[tuple[str, float, str]]:
        found = self.real.keyword_search(query, scope, limit=limit, as_of=as_of, where=where)
        hits = self.real.hits([chunk_id for chunk_id, *_ in found], scope, as_of=as_of)
        if not query.isascii():
            return list(found)
        return [match for match in found if query.lower() in _without_accents(hits[match[0]].chunk.text)]


def _without_accents(text: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFD", text) if not unicodedata.combining(each)).lower()


class PassesSyntaxOn(Healthy):
    """A mark that means something to the database's search is refused by it."""

    caught_by = "takes_every_query_for_text"

    def keyword_search(
        self, query: str, scope: Scope, *, limit: int, as_of: date | None, where: Where | None = None
    ) -> list[tuple[str, float, str]]:
        if set(query) & set('"*()^:'):
            raise StoreUnavailable(f"syntax error near {query!r}")
        found: list[tuple[str, float, str]] = self.real.keyword_search(
            query, scope, limit=limit, as_of=as_of, where=where
        )
        return found


class ReusesNumbers(Healthy):
    """Counts what it holds, so that a deletion makes the next number an old one."""

    caught_by = "numbers_every_change_once_and_upwards"

    def sequence(self) -> int:
        return int(self.real.chunk_count())


class ForgetsDeletions(Healthy):
    caught_by = "tells_what_happened_since"

    def deletions(self, *, after: int = 0) -> Iterator[str]:
        return iter(())


class NewPassagesOnly(Healthy):
    """A passage that was indexed once is not told of again, though it was deleted in between or has other rights."""

    caught_by = "leads_an_index_from_any_point_to_the_present"

    def __init__(self, real: Any) -> None:
        super().__init__(real)
        self.first: dict[str, int] = {}

    def put(self, entries: Sequence[Entry], *, gone: Collection[str] = ()) -> list[Document]:
        stored: list[Document] = self.real.put(entries, gone=gone)
        for item in self.real.embeddings():
            self.first.setdefault(item.chunk_id, item.sequence)
        return stored

    def embeddings(self, *, after: int = 0) -> Iterator[VectorItem]:
        return (item for item in self.real.embeddings() if self.first.get(item.chunk_id, item.sequence) > after)


class StampsEverything(Healthy):
    """Any number has a token, and the same one: an index of another ledger would pass for one of this."""

    caught_by = "stamps_each_change_once_and_for_good"

    def version_token(self, sequence: int) -> str | None:
        return "stamp"


class ForgetsTooMuch(Healthy):
    """Throws old deletions away and goes on as if whoever stopped before them could follow."""

    caught_by = "forgets_old_deletions_only_together_with_their_stamps"

    def deletions(self, *, after: int = 0) -> Iterator[str]:
        return self.real.deletions(after=max(after, self.real.sequence() - 10))  # type: ignore[no-any-return]


class TellsForeignTexts(Healthy):
    caught_by = "knows_the_vectors_of_its_texts"

    def known_vectors(self, texts: Collection[str], tenant: str, *, scope: Scope | None = None) -> dict[str, Vectors]:
        return self.real.known_vectors(texts, tenant) | self.real.known_vectors(texts, "globex")  # type: ignore[no-any-return]


class KeepsTheFirstFingerprint(Healthy):
    caught_by = "keeps_a_fingerprint"

    def set_fingerprint(self, fingerprint: Any) -> None:
        if self.real.fingerprint() is None:
            self.real.set_fingerprint(fingerprint)


class ReplacesInTwoSteps(Healthy):
    """Between them the document has none of its passages, or those of the old version."""

    caught_by = "never_shows_half_a_replacement"

    def put(self, entries: Sequence[Entry], *, gone: Collection[str] = ()) -> list[Document]:
        import time

        for entry in entries:
            old = [each for each in self.real.entries() if each.source == entry.source]
            if old and len(entry.chunks) > 1:
                chunks = [entry.chunks[0], old[0].chunks[1]]
                self.real.put([replace(entry, chunks=chunks)])
                time.sleep(0.005)
        stored: list[Document] = self.real.put(entries, gone=gone)
        return stored


class BuildsInItself(Healthy):
    """What is being built is served at once."""

    caught_by = "builds_beside_itself_and_finds_it_again"

    def open_second(self, *, fresh: bool = False) -> Any:
        return self


class AddsWhatItAdopts(Healthy):
    caught_by = "adopts_what_was_built_beside_it"

    def adopt(self, second: Any, *, at: int) -> bool:
        self.real.put(list(second.entries()))
        self.real.set_fingerprint(second.fingerprint())
        return True


class AdoptsAsOrdinaryChanges(Healthy):
    """An index would follow step by step, and mix vectors of two embedders."""

    caught_by = "has_every_index_filled_anew_after_it_adopted"

    def adopt(self, second: Any, *, at: int) -> bool:
        for old in list(self.real.entries()):
            self.real.delete(old.source.uri, old.source.tenant)
        self.real.put(list(second.entries()))
        return True


class AdoptsWhateverHappened(Healthy):
    caught_by = "adopts_nothing_where_somebody_wrote_in_between"

    def adopt(self, second: Any, *, at: int) -> bool:
        return bool(self.real.adopt(second, at=self.real.sequence()))


class IgnoresTheFilter(Healthy):
    caught_by = "filters_as_every_other_ledger_and_index_does"

    def keyword_search(
        self, query: str, scope: Scope, *, limit: int, as_of: date | None, where: Where | None = None
    ) -> list[tuple[str, float, str]]:
        found: list[tuple[str, float, str]] = self.real.keyword_search(query, scope, limit=limit, as_of=as_of)
        return found


class FiltersWhatItFound(Healthy):
    caught_by = "fills_the_limit_from_what_the_filter_admits"

    def keyword_search(
        self, query: str, scope: Scope, *, limit: int, as_of: date | None, where: Where | None = None
    ) -> list[tuple[str, float, str]]:
        found = self.real.keyword_search(query, scope, limit=limit, as_of=as_of)
        fitting = set(self.real.keyword_search(query, scope, limit=1000, as_of=as_of, where=where))
        return [match for match in found if match in fitting]


class TellsNothingOfDocuments(Healthy):
    """An index that it fills cannot filter."""

    caught_by = "tells_an_index_what_is_known_of_a_document"

    def embeddings(self, *, after: int = 0) -> Iterator[VectorItem]:
        for item in self.real.embeddings(after=after):
            yield replace(item, attributes={})


class TakesWhatOneStatementTakes(Healthy):
    caught_by = "takes_more_ids_and_texts_than_a_store_takes_in_one_call"

    def hits(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, Hit]:
        if len(chunk_ids) > 32_766:
            raise StoreUnavailable("too many SQL variables")
        found: dict[str, Hit] = self.real.hits(chunk_ids, scope, as_of=as_of)
        return found


BROKEN = [
    TrimsTexts, ForgetsTheParsers, ForgetsTheParsersOfAReindex, DatesEverythingToday, LosesPages, ListsEveryTenants, ForgetsVersions, NamesByUriAlone, ForgetsWhatIsGone, ForgetsWhoWrote, ForgetsWhatItIsAVersionOf,
    ShowsRefusalsToEverybody, TellsHiddenTexts, HalvesPrecision, SortsHits, ConsumesItsInput, KeepsOldPassages, DeletesByUriAlone,
    ForgetsTheKeywordIndex, AlwaysDeleted, CollectsRefusals, DropsWhatItRefuses, StoresOneByOne, SwallowsErrors,
    ShowsTextsToEveryone, IgnoresGroups, IgnoresTheTenant, EmptyMeansEverything, ShowsForeignRefusals, FiltersAfterwards,
    NewestAlways, WorstFirst, WholeWordsOnly, KnowsWordsBySpacesOnly, FoldsAccentsOnly,
    PassesSyntaxOn, ReusesNumbers, ForgetsDeletions, NewPassagesOnly,
    StampsEverything, ForgetsTooMuch, TellsForeignTexts, KeepsTheFirstFingerprint, ReplacesInTwoSteps,
    BuildsInItself, AddsWhatItAdopts, AdoptsAsOrdinaryChanges, AdoptsWhateverHappened,
    IgnoresTheFilter, FiltersWhatItFound, TellsNothingOfDocuments, TakesWhatOneStatementTakes,
]  # fmt: skip

"""A query to permitted evidence: both searches, fused, checked, one passage a document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event, current_thread, main_thread
from typing import Any

import pytest

from foundation.components import Context, load
from foundation.errors import InvalidRequest, StoreUnavailable, UpstreamDown
from foundation.settings import Part
from foundation.types import EVERY_TENANT, Scope
from models.contract import Embeddings
from models.embedding import embed
from retrieval.contract import DocumentLedger, VectorIndex
from retrieval.documents import Chunk, Entry, Hit, Parsed, Source, Vectors
from retrieval.filters import AnyOf, Between, Where
from retrieval.index.maintenance import catch_up
from retrieval.search.hybrid import KEYWORD, VECTOR, HybridRetriever
from retrieval.settings import RankingSettings

ACME = Scope("acme")
TODAY = date(2026, 11, 25)


class FixedClock:
    """Stands still on one day."""

    def now(self) -> datetime:
        return datetime(TODAY.year, TODAY.month, TODAY.day, 12, tzinfo=UTC)

    def monotonic_s(self) -> float:
        return 0.0


class Unchanged:
    """A reranker without an opinion."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [0.0] * len(texts)


class Prefers:
    """A reranker that puts texts with `word` first, and remembers what it was asked."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.asked: list[Sequence[str]] = []

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        self.asked.append(texts)
        return [float(self.word in text) for text in texts]


class Through:
    """Stands before a part; what a test does not override goes through to the real one."""

    def __init__(self, part: Any) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)


class IndexThatShowsEverything(Through):
    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        scopes = [Scope(tenant, frozenset({"finance"})) for tenant in ("globex", "acme")]
        return [found for each in scopes for found in self._part.search(vector, each, limit=limit, where=where)]


class LedgerThatShowsEverything(Through):
    """Its keyword search and its look-ups answer as if the other tenant had asked."""

    def keyword_search(
        self, query: str, scope: Scope, *, limit: int, as_of: date | None, where: Where | None = None
    ) -> list[tuple[str, float, str]]:
        found: list[tuple[str, float, str]] = self._part.keyword_search(
            query, Scope("globex"), limit=limit, as_of=as_of, where=where
        )
        return found

    def documents_of(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, str]:
        found: dict[str, str] = self._part.documents_of(chunk_ids, Scope("globex"), as_of=as_of)
        return found

    def hits(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, Hit]:
        found: dict[str, Hit] = self._part.hits(chunk_ids, Scope("globex"), as_of=as_of)
        return found


class Counting(Through):
    """Notes how many passages each search of it asked for."""

    def __init__(self, part: Any) -> None:
        super().__init__(part)
        self.depths: list[int] = []

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        self.depths.append(limit)
        found: list[tuple[str, float]] = self._part.search(vector, scope, limit=limit, where=where)
        return found

    def keyword_search(
        self, query: str, scope: Scope, *, limit: int, as_of: date | None, where: Where | None = None
    ) -> list[tuple[str, float, str]]:
        self.depths.append(limit)
        found: list[tuple[str, float, str]] = self._part.keyword_search(
            query, scope, limit=limit, as_of=as_of, where=where
        )
        return found


class FailingIndex(Through):
    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        raise StoreUnavailable("The disk is gone. Look for it.")


class FailingEmbedder(Through):
    def embed_query(self, text: str) -> list[float]:
        raise UpstreamDown("The model is gone. Look for it.")


@dataclass
class Library:
    """A ledger and an index that hold what a test puts in."""

    ledger: DocumentLedger
    vectors: VectorIndex
    embedder: Embeddings

    def add(self, uri: str, *passages: str, tenant: str = "acme", **about: Any) -> None:
        source = Source(uri, tenant, title=uri, **about)
        text, chunks = "\n\n".join(passages), []
        for position, passage in enumerate(passages):
            start = sum(len(before) + 2 for before in passages[:position])
            name = f"{source.document_id}-{position}-{hash(passage)}"
            chunks.append(Chunk(name, source.document_id, position, passage, start, start + len(passage)))
        vectors = embed(self.embedder, passages)
        self.ledger.put([Entry(source, f"hash of {text}", Parsed(text, ()), chunks, vectors)])
        catch_up(self.ledger, self.vectors)

    def retriever(self, **parts: Any) -> HybridRetriever:
        usual: Mapping[str, Any] = {
            "ledger": self.ledger,
            "vectors": self.vectors,
            "embedder": self.embedder,
            "reranker": Unchanged(),
            "ranking": RankingSettings(),
            "clock": FixedClock(),
        }
        return HybridRetriever(**{**usual, **parts})

    def uris(self, query: str, scope: Scope = ACME, **options: Any) -> list[str]:
        return [hit.source.uri for hit in self.retriever().retrieve(query, scope, **options)]


@pytest.fixture
def library(data_dir: Path) -> Iterator[Library]:
    context = Context(data_dir=data_dir, clock=FixedClock())
    ledger = load("retrieval.ledger", Part(use="sqlite"), context)
    vectors = load("retrieval.vectors", Part(use="memory"), context)
    yield Library(ledger, vectors, load("models.embedder", Part(use="hashing"), context))
    vectors.close()
    ledger.close()


def test_a_document_that_the_index_lacks_still_stands_first_by_its_words(library: Library) -> None:
    for number in range(30):
        library.add(f"{number}.md", f"This is the rule of word{number}, and of nothing else.")
    [lacking] = library.ledger.keyword_search("word7", ACME, limit=9, as_of=None)
    library.vectors.delete([lacking[0]])
    [first, *_] = library.retriever().retrieve("What is the rule of word7?", ACME)
    assert (first.source.uri, first.ranks) == ("7.md", {KEYWORD: 1})


def test_a_document_is_found_by_its_words_and_its_hit_names_both_searches_from_rank_one(library: Library) -> None:
    library.add("printer.md", "The printer jams.")
    library.add("refunds.md", "A refund takes fourteen days.")
    [first, *_] = library.retriever().retrieve("refund in fourteen days", ACME)
    assert first.source.uri == "refunds.md"
    assert first.ranks == {KEYWORD: 1, VECTOR: 1}


def test_each_document_appears_once_by_the_passage_that_fits_best(library: Library) -> None:
    library.add(
        "manual.md", "Refund rules for shoes.", "Refund of a toaster within days.", "Refund forms and refund desks."
    )
    library.add("other.md", "A toaster gets hot.")
    hits = library.retriever().retrieve("refund of a toaster", ACME)
    assert sorted(hit.source.uri for hit in hits) == ["manual.md", "other.md"]
    assert hits[0].chunk.text == "Refund of a toaster within days."


def test_a_passage_is_shown_as_it_stands_in_the_document(library: Library) -> None:
    library.add("manual.md", "Alpha section.", "The toaster section.", "Omega section.")
    [hit, *_] = library.retriever().retrieve("toaster", ACME)
    text = library.ledger.text(hit.chunk.document_id, ACME)
    assert text
    assert text[hit.chunk.start : hit.chunk.end] == hit.chunk.text == "The toaster section."


def test_the_limit_counts_documents_and_not_passages(library: Library) -> None:
    library.add("long.md", *(f"Refund clause {number}." for number in range(12)))
    library.add("short.md", "Refund.")
    library.add("third.md", "No refund here.")
    assert len(library.uris("refund", limit=3)) == 3
    assert len(library.uris("refund", limit=1)) == 1


@pytest.mark.parametrize("leg", [KEYWORD, VECTOR])
def test_a_long_document_full_of_matches_crowds_out_no_other_in_either_leg(library: Library, leg: str) -> None:
    library.add("long.md", *(f"Refund {number}." for number in range(400)))
    for number in range(9):
        library.add(f"{number}.md", f"A refund, among many other things that number {number} says of lamps and chairs.")
    hits = library.retriever().retrieve("refund", ACME)
    assert sorted(hit.source.uri for hit in hits if leg in hit.ranks) == [*(f"{n}.md" for n in range(9)), "long.md"]


def test_a_leg_is_asked_once_where_that_gives_documents_enough(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.search.hybrid.CANDIDATES", 20)
    for number in range(40):
        library.add(f"{number}.md", f"Refund rule {number}.", f"Refund form {number}.")
    ledger, vectors = Counting(library.ledger), Counting(library.vectors)
    few = RankingSettings(top_k=10)
    assert len(library.retriever(ledger=ledger, vectors=vectors, ranking=few).retrieve("refund", ACME)) == 10
    assert (len(ledger.depths), len(vectors.depths)) == (1, 1)


def test_a_leg_stops_looking_at_the_deepest(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.search.hybrid.CANDIDATES", 20)
    monkeypatch.setattr("retrieval.search.hybrid.DEEPEST", 90)
    library.add("long.md", *(f"Refund {number}." for number in range(100)))
    ledger, vectors = Counting(library.ledger), Counting(library.vectors)
    few = RankingSettings(top_k=2)
    assert len(library.retriever(ledger=ledger, vectors=vectors, ranking=few).retrieve("refund", ACME)) == 1
    assert (ledger.depths, vectors.depths) == ([20, 80, 90], [20, 80, 90]), "both searches walk in step"


def test_without_a_limit_the_setting_decides(library: Library) -> None:
    for number in range(4):
        library.add(f"{number}.md", f"Refund rule {number}.")
    assert len(library.retriever(ranking=RankingSettings(top_k=2)).retrieve("refund", ACME)) == 2


def test_a_limit_beyond_the_candidates_is_served_all_the_same(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.search.hybrid.CANDIDATES", 1)
    for number in range(6):
        library.add(f"{number}.md", f"Refund rule {number}.")
    few = library.retriever(ranking=RankingSettings(top_k=1))
    assert len(few.retrieve("refund", ACME, limit=6)) == 6


def test_scores_fall(library: Library) -> None:
    for number in range(5):
        library.add(f"{number}.md", "Refund. " * (number + 1))
    scores = [hit.score for hit in library.retriever().retrieve("refund", ACME)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[-1]


def test_own_and_common_documents_are_found_and_foreign_ones_are_not(library: Library) -> None:
    library.add("own.md", "Refund.")
    library.add("common.md", "Refund.", tenant=EVERY_TENANT)
    library.add("foreign.md", "Refund.", tenant="globex")
    assert sorted(library.uris("refund")) == ["common.md", "own.md"]
    assert sorted(library.uris("refund", Scope("globex"))) == ["common.md", "foreign.md"]


def test_a_restricted_document_is_found_by_its_groups_only(library: Library) -> None:
    library.add("salaries.md", "Refund of salaries.", groups=frozenset({"finance", "board"}))
    assert library.uris("salaries") == []
    assert library.uris("salaries", Scope("acme", frozenset({"support"}))) == []
    assert library.uris("salaries", Scope("acme", frozenset({"support", "board"}))) == ["salaries.md"]
    assert library.uris("salaries", Scope("globex", frozenset({"finance"}))) == []


@pytest.mark.parametrize("tenant", ["", EVERY_TENANT])
def test_an_empty_scope_sees_nothing_not_even_what_everyone_may_read(library: Library, tenant: str) -> None:
    library.add("common.md", "Refund.", tenant=EVERY_TENANT)
    assert library.uris("refund", Scope(tenant, frozenset({"finance"}))) == []


def test_an_index_that_ignores_the_scope_reveals_nothing(library: Library) -> None:
    library.add("own.md", "Refund.")
    library.add("foreign.md", "Refund.", tenant="globex")
    library.add("restricted.md", "Refund.", groups=frozenset({"finance"}))
    lying = IndexThatShowsEverything(library.vectors)
    shown = lying.search(embed(library.embedder, ["Refund."])[0], ACME, limit=9)
    assert len(shown) == 3, "or this test would prove nothing"
    hits = library.retriever(vectors=lying).retrieve("refund", ACME)
    assert [hit.source.uri for hit in hits] == ["own.md"]


def test_a_ledger_that_ignores_the_scope_reveals_nothing(library: Library) -> None:
    library.add("foreign.md", "Refund.", tenant="globex")
    lying = LedgerThatShowsEverything(library.ledger)
    assert lying.hits([key for key, *_ in lying.keyword_search("refund", ACME, limit=9, as_of=None)], ACME, as_of=None)
    assert library.retriever(ledger=lying).retrieve("refund", ACME) == []


PUBLIC = Scope("acme", classes=frozenset({"public"}))


def test_only_the_classes_of_the_scope_are_found_and_they_fill_the_limit(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.search.hybrid.CANDIDATES", 2)
    for number in range(9):
        library.add(f"secret-{number}.md", "Refund refund refund.", attributes={"data_class": "secret"})
    library.add("plain.md", "Refund.")
    library.add("public.md", "A refund among many other words.", attributes={"data_class": "public"})
    few = library.retriever(ranking=RankingSettings(top_k=2))
    assert [hit.source.uri for hit in few.retrieve("refund", PUBLIC)] == ["public.md"]
    both = Scope("acme", classes=frozenset({"public", "unclassified"}))
    assert sorted(hit.source.uri for hit in few.retrieve("refund", both)) == ["plain.md", "public.md"]
    assert library.uris("refund", Scope("acme", classes=frozenset())) == []
    assert len(library.uris("refund", ACME)) > 2


def test_an_index_and_a_ledger_that_ignore_the_classes_reveal_nothing(library: Library) -> None:
    library.add("secret.md", "Refund.", tenant=EVERY_TENANT, attributes={"data_class": "secret"})
    vectors, ledger = IndexThatShowsEverything(library.vectors), LedgerThatShowsEverything(library.ledger)
    key = [key for key, *_ in ledger.keyword_search("refund", PUBLIC, limit=9, as_of=None)]
    assert ledger.hits(key, PUBLIC, as_of=None), "or this test would prove nothing"
    assert library.retriever(vectors=vectors, ledger=ledger).retrieve("refund", PUBLIC) == []


@pytest.mark.parametrize("word", [3, True, date(2026, 1, 1)])
def test_the_class_of_a_document_is_a_word(word: object) -> None:
    with pytest.raises(InvalidRequest, match="class of a document is a word"):
        Source("a.md", "acme", attributes={"data_class": word})  # type: ignore[dict-item]


def test_a_stale_index_shows_nothing_that_the_ledger_has_deleted(library: Library) -> None:
    library.add("gone.md", "Refund.")
    library.add("here.md", "Printer.")
    library.ledger.delete(Source("gone.md", "acme").document_id)
    assert library.vectors.count() == 2, "or this test would prove nothing"
    assert library.uris("refund") == ["here.md"]


def test_a_replaced_document_is_shown_in_its_new_words_only(library: Library) -> None:
    library.add("refunds.md", "Refunds take thirty days.")
    library.add("refunds.md", "Refunds take fourteen days.")
    [hit] = library.retriever().retrieve("refunds thirty days", ACME)
    assert hit.chunk.text == "Refunds take fourteen days."


def test_the_version_in_force_today_is_found_unless_another_day_is_named(library: Library) -> None:
    for year in (2024, 2025, 2027):
        library.add(f"{year}.md", f"Refund policy of {year}.", series="refunds", effective_from=date(year, 3, 1))
    assert library.uris("refund policy") == ["2025.md"]
    assert library.uris("refund policy", as_of=date(2024, 12, 31)) == ["2024.md"]
    assert library.uris("refund policy", as_of=date(2025, 3, 1)) == ["2025.md"]
    assert library.uris("refund policy", as_of=date(2028, 1, 1)) == ["2027.md"]
    assert library.uris("refund policy", as_of=date(2023, 1, 1)) == []


def test_a_newer_version_of_another_tenant_supersedes_nothing(library: Library) -> None:
    library.add("ours.md", "Refund.", series="refunds", effective_from=date(2024, 1, 1))
    library.add("theirs.md", "Refund.", tenant="globex", series="refunds", effective_from=date(2025, 1, 1))
    assert library.uris("refund") == ["ours.md"]


def test_versions_out_of_force_do_not_crowd_out_the_one_in_force(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.search.hybrid.CANDIDATES", 2)
    for year in range(1990, 2026):
        library.add(f"{year}.md", f"Misinvoiced {year}.", series="bills", effective_from=date(year, 1, 1))
    few = library.retriever(ranking=RankingSettings(top_k=1))
    [hit] = few.retrieve("invoice 1990", ACME)
    assert (hit.source.uri, hit.ranks) == ("2025.md", {VECTOR: 1})


def test_further_passages_of_a_document_follow_its_best_one_when_asked_for(library: Library) -> None:
    library.add("manual.md", "Toaster refund.", "Toaster cleaning.", "Toaster safety.")
    library.add("other.md", "A toaster refund, among other things that one may want.")
    hits = library.retriever().retrieve("toaster refund", ACME, limit=2, per_document=2)
    assert [hit.source.uri for hit in hits] == ["manual.md", "manual.md", "manual.md", "other.md"]
    assert hits[0].chunk.text == "Toaster refund."
    assert len({hit.chunk.chunk_id for hit in hits}) == 4


def test_further_passages_go_where_the_scores_are_highest_and_are_no_more_than_asked_for(library: Library) -> None:
    library.add("long.md", *(f"Toaster refund rule {number}." for number in range(9)))
    library.add("near.md", "A toaster refund.", "Weather.", "Shoes.")
    library.add("far.md", "Toaster.", "Rain.", "Boots.")
    hits = library.retriever().retrieve("toaster refund rule", ACME, limit=3, per_document=3)
    assert [hit.source.uri for hit in hits] == [*["long.md"] * 7, "near.md", "far.md"]
    assert [hit.source.uri for hit in library.retriever().retrieve("toaster refund rule", ACME, limit=3)] == [
        "long.md",
        "near.md",
        "far.md",
    ]


@pytest.mark.parametrize("query", ["", "   ", "\n\t"])
def test_an_empty_query_is_refused(library: Library, query: str) -> None:
    with pytest.raises(InvalidRequest, match="empty"):
        library.retriever().retrieve(query, ACME)


@pytest.mark.parametrize(
    "query",
    ['"', "'; DROP TABLE chunks; --", "refund*", "NEAR(refund", "heading: refund", "a OR", "(", "🙂", "\x00", "?!"],
)
def test_a_query_is_text_whatever_it_looks_like(library: Library, query: str) -> None:
    library.add("refunds.md", "Refund.")
    assert library.uris(query) == ["refunds.md"]


def test_an_empty_library_gives_no_hits(library: Library) -> None:
    assert library.uris("refund") == []


def test_where_no_word_occurs_the_vector_leg_finds_alone(library: Library) -> None:
    library.add("bills.md", "Misinvoiced.")
    [hit] = library.retriever().retrieve("invoice", ACME)
    assert hit.ranks == {VECTOR: 1}


def test_where_the_index_is_empty_the_keyword_leg_finds_alone(library: Library) -> None:
    library.add("refunds.md", "Refund.")
    library.vectors.clear()
    [hit] = library.retriever().retrieve("refund", ACME)
    assert hit.ranks == {KEYWORD: 1}


def test_the_weights_decide_where_the_searches_disagree(library: Library) -> None:
    library.add("words.md", "An invoice. " + "Printers, shelves, lamps, chairs and tables of all kinds. " * 8)
    library.add("spelling.md", "Misinvoiced.")
    words = RankingSettings(keyword_weight=1)
    vectors = RankingSettings(keyword_weight=0)
    assert library.retriever(ranking=words).retrieve("invoice", ACME)[0].source.uri == "words.md"
    assert library.retriever(ranking=vectors).retrieve("invoice", ACME)[0].source.uri == "spelling.md"


def test_a_reranker_that_weighs_all_has_the_last_word_on_the_order(library: Library) -> None:
    for name in ("a", "b", "c"):
        library.add(f"{name}.md", f"Refund {name}{name}.")
    usual = library.uris("refund")
    reranker, ranking = Prefers(usual[-1][0] * 2), RankingSettings(rerank_weight=1.0)
    hits = library.retriever(reranker=reranker, ranking=ranking).retrieve("refund", ACME)
    assert [hit.source.uri for hit in hits] == [usual[-1], *usual[:-1]]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_a_reranker_without_weight_changes_nothing(library: Library) -> None:
    for name in ("a", "b", "c"):
        library.add(f"{name}.md", f"Refund {name}{name}.")
    usual = library.uris("refund")
    reranker, ranking = Prefers(usual[-1][0] * 2), RankingSettings(rerank_weight=0.0)
    assert [
        hit.source.uri for hit in library.retriever(reranker=reranker, ranking=ranking).retrieve("refund", ACME)
    ] == usual


def test_a_reranker_is_shown_nothing_out_of_scope(library: Library) -> None:
    library.add("own.md", "Refund.")
    library.add("foreign.md", "Refund of globex.", tenant="globex")
    library.add("restricted.md", "Refund of finance.", groups=frozenset({"finance"}))
    reranker = Prefers("x")
    library.retriever(reranker=reranker, vectors=IndexThatShowsEverything(library.vectors)).retrieve("refund", ACME)
    assert reranker.asked == [["Refund."]]


def test_what_is_out_of_scope_does_not_move_what_is_in_it(library: Library) -> None:
    """The scores of the fusion depend on all candidates: none of them may be a foreign one."""
    for number in range(6):
        library.add(f"{number}.md", f"Refund rule {number} for a thing of kind {number}.", "Something else.")
    before = library.retriever().retrieve("refund rule 3", ACME)
    for number in range(6):
        library.add(f"{number}.md", f"Refund rule {number}, refund rule 3.", tenant="globex")
    lying = IndexThatShowsEverything(library.vectors)
    after = library.retriever(vectors=lying).retrieve("refund rule 3", ACME)
    assert [(hit.chunk, hit.ranks) for hit in after] == [(hit.chunk, hit.ranks) for hit in before]


@pytest.mark.parametrize("query", ["保修期", "гарантия", "الضمان"])
def test_a_query_in_letters_that_the_embedder_does_not_read_is_ranked_by_its_words(
    library: Library, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.search.hybrid.FOREIGN_WEIGHT", 0)
    library.add("wanted.md", f"{query}.")
    for number in range(5):
        library.add(f"{number}.md", f"Refund rule {number}.")
    hidden = RankingSettings(keyword_weight=0.1)
    [first, *_] = library.retriever(ranking=hidden).retrieve(query, ACME)
    assert first.source.uri == "wanted.md"
    reads_all = RankingSettings(keyword_weight=0)
    read = library.retriever(ranking=reads_all, multilingual=True).retrieve(query, ACME)
    assert read[0].score != library.retriever(ranking=reads_all).retrieve(query, ACME)[0].score


def test_where_words_have_all_the_weight_vectors_have_none_in_any_letters(library: Library) -> None:
    library.add("wanted.md", "保修期.")
    library.add("other.md", "保修期 refund rule.")
    words = RankingSettings(keyword_weight=1)
    unread, read = (library.retriever(ranking=words, multilingual=it).retrieve("保修期", ACME) for it in (False, True))
    assert [hit.score for hit in unread] == [hit.score for hit in read]


def test_a_reranker_reads_each_document_once(library: Library) -> None:
    library.add("a.md", "Refund one.", "Refund two.")
    reranker = Prefers("x")
    library.retriever(reranker=reranker).retrieve("refund", ACME)
    [texts] = reranker.asked
    assert len(texts) == 1


def test_without_a_reranker_no_more_documents_are_read_than_shown(library: Library) -> None:
    for number in range(8):
        library.add(f"{number}.md", f"Refund {number}.")
    read = []

    class Reading(Through):
        def hits(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, Hit]:
            read.append(len(chunk_ids))
            found: dict[str, Hit] = self._part.hits(chunk_ids, scope, as_of=as_of)
            return found

    for reranker in (None, Prefers("nothing has it")):
        asked = library.retriever(ledger=Reading(library.ledger), reranker=reranker)
        assert [hit.source.uri for hit in asked.retrieve("refund", ACME, limit=3)] == library.uris("refund", limit=3)
    assert read == [3, 8]


def test_the_ledger_is_asked_only_whose_the_passages_of_the_index_are(library: Library) -> None:
    library.add("refunds.md", "Refund.")
    library.add("printers.md", "Printer.")
    asked = []

    class Asked(Through):
        def documents_of(self, chunk_ids: Sequence[str], scope: Scope, *, as_of: date | None) -> dict[str, str]:
            asked.extend(chunk_ids)
            found: dict[str, str] = self._part.documents_of(chunk_ids, scope, as_of=as_of)
            return found

    hits = library.retriever(ledger=Asked(library.ledger)).retrieve("refund", ACME)
    assert [hit.source.uri for hit in hits] == ["refunds.md", "printers.md"]
    assert asked == [hits[1].chunk.chunk_id]


def test_what_stands_below_the_reranked_documents_keeps_its_place(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.search.hybrid.RERANKED", 5)
    for number in range(8):
        library.add(f"{number}.md", f"Refund {number}.")
    ranking = RankingSettings(rerank_weight=1.0)
    usual = library.uris("refund", limit=99)
    reranker = Prefers("nothing has it")
    reranked = [
        hit.source.uri
        for hit in library.retriever(reranker=reranker, ranking=ranking).retrieve("refund", ACME, limit=99)
    ]
    assert reranked == usual
    assert [len(texts) for texts in reranker.asked] == [5]


def test_a_failing_index_is_an_error_and_never_half_an_answer(library: Library) -> None:
    library.add("refunds.md", "Refund.")
    with pytest.raises(StoreUnavailable):
        library.retriever(vectors=FailingIndex(library.vectors)).retrieve("refund", ACME)


def test_a_failing_embedder_is_an_error_and_never_half_an_answer(library: Library) -> None:
    library.add("refunds.md", "Refund.")
    with pytest.raises(UpstreamDown):
        library.retriever(embedder=FailingEmbedder(library.embedder)).retrieve("refund", ACME)


def test_words_are_searched_while_the_query_is_embedded_in_the_same_context(library: Library) -> None:
    library.add("refunds.md", "Refund.")
    begun, trace = Event(), ContextVar("trace", default="none")
    seen = []

    class Words(Through):
        def keyword_search(self, *asked: Any, **named: Any) -> list[tuple[str, float, str]]:
            seen.append(trace.get())
            begun.set()
            found: list[tuple[str, float, str]] = self._part.keyword_search(*asked, **named)
            return found

    class Waits(Through):
        def embed_query(self, text: str) -> list[float]:
            assert begun.wait(60)
            vector: list[float] = self._part.embed_query(text)
            return vector

    trace.set("t-1")
    retriever = library.retriever(ledger=Words(library.ledger), embedder=Waits(library.embedder))
    assert [hit.source.uri for hit in retriever.retrieve("refund", ACME)] == ["refunds.md"]
    assert seen == ["t-1"]


def test_nothing_runs_on_when_the_embedding_failed(library: Library) -> None:
    begun, over = Event(), Event()

    class Words(Through):
        def keyword_search(self, *asked: Any, **named: Any) -> list[tuple[str, float, str]]:
            begun.set()
            over.wait(0.1)
            over.set()
            return []

    class Fails(FailingEmbedder):
        def embed_query(self, text: str) -> list[float]:
            assert begun.wait(60)
            return super().embed_query(text)

    with pytest.raises(UpstreamDown):
        library.retriever(ledger=Words(library.ledger), embedder=Fails(library.embedder)).retrieve("refund", ACME)
    assert over.is_set()


def test_the_same_query_gives_the_same_hits(library: Library) -> None:
    for number in range(8):
        library.add(f"{number}.md", "Refund.")
    assert library.retriever().retrieve("refund", ACME) == library.retriever().retrieve("refund", ACME)


def test_both_searches_are_filtered_by_what_is_known_of_a_document(library: Library) -> None:
    for name, price in (("cheap.md", 5), ("dear.md", 50), ("free.md", None)):
        library.add(name, "A refund takes fourteen days.", attributes={"price": price} if price else {})
    assert sorted(library.uris("refund days")) == ["cheap.md", "dear.md", "free.md"]
    assert library.uris("refund days", where=Between("price", high=10)) == ["cheap.md"]
    assert library.uris("refund days", where=AnyOf(())) == []


def test_what_an_index_shows_against_the_filter_is_not_shown(library: Library) -> None:
    library.add("cheap.md", "A refund takes fourteen days.", attributes={"price": 5})

    class Careless(Through):
        def search(self, vector: Vectors, scope: Scope, **asked: Any) -> list[tuple[str, float]]:
            found: list[tuple[str, float]] = self._part.search(vector, scope, limit=asked["limit"])
            return found

    retriever = library.retriever(vectors=Careless(library.vectors))
    assert retriever.retrieve("refund", ACME, where=Between("price", low=10)) == []


def test_a_query_beside_as_many_as_have_a_second_thread_is_answered_on_its_own(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.search.hybrid.TWO_THREADS", 1)
    library.add("refunds.md", "A refund takes fourteen days.")
    begun, over, searched_by = Event(), Event(), []

    class Words(Through):
        def keyword_search(self, query: str, *asked: Any, **named: Any) -> list[tuple[str, float, str]]:
            searched_by.append((query, current_thread() is main_thread()))
            if query == "first":
                begun.set()
                assert over.wait(60)
            found: list[tuple[str, float, str]] = self._part.keyword_search(query, *asked, **named)
            return found

    retriever = library.retriever(ledger=Words(library.ledger))
    with ThreadPoolExecutor(1) as other:
        first = other.submit(retriever.retrieve, "first", ACME)
        assert begun.wait(60)
        [hit] = retriever.retrieve("refund", ACME)
        assert hit.ranks == {KEYWORD: 1, VECTOR: 1}
        over.set()
        first.result(60)
    retriever.retrieve("third", ACME)
    assert searched_by == [("first", False), ("refund", True), ("third", False)]

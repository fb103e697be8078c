"""Which queries a model is tuned on, on which it is measured, and what the tuning was worth.

A folder in BEIR layout has `qrels/train.tsv` and `qrels/test.tsv`; the texts of training queries may also stand in
`queries_train.jsonl`. Where there is only one of the two, or a golden set, the queries are split by a hash of their words, so
that the same question is on the same side in every run. What is held out is never trained on: a training query that says the
same as a held-out one is left out, and counted.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from extensions.datasets import reading
from foundation.errors import InvalidRequest
from foundation.types import Scope
from lab.bench import public_data
from lab.tuning.training import Example
from observability.evaluation import metrics, questions
from observability.evaluation.golden_set import load_golden
from retrieval.contract import Retriever
from retrieval.filters import OneOf

FEWEST = 8
"""Queries in each half. With so few nothing can be shown; with fewer nothing can be counted."""
NEGATIVES = 4
"""Passages of documents that are not gold, for each that is."""
MINED = 20
"""Documents among whose passages those are drawn: as many as a reranker sees (`RERANKED` in retrieval/search/hybrid.py)."""
SERVED = 10
WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0)
"""Of the reranker beside the fused score, from which one is chosen on training queries that were kept from the training."""


@dataclass(frozen=True, slots=True)
class Query:
    """Something that is searched for, by whom, and the grades of the documents that are judged for it."""

    query_id: str
    text: str
    scope: Scope
    grades: Mapping[str, int]

    @property
    def gold(self) -> list[str]:
        return [uri for uri, grade in self.grades.items() if grade > 0]

    @property
    def words(self) -> str:
        return " ".join(self.text.lower().split())


@dataclass(frozen=True, slots=True)
class Split:
    """Queries to train on and queries to measure on."""

    train: Sequence[Query]
    held_out: Sequence[Query]
    how: str
    """In words, for the report."""
    left_out: int
    """Training queries that say the same as a held-out one."""
    without_text: int = 0
    """Judged queries that cannot be asked, because no file has their words."""


# -- reading -----------------------------------------------------------------------------------------------------------


def read_split(data: Path, limit: int | None = None) -> Split:
    """The judged queries of a folder in BEIR layout, or the answerable questions of a golden set (a file, or a folder that
    has one). `limit` draws so many of each half, evenly.

    Raises:
        InvalidRequest: a file is missing or not in the format, or a half has too few queries.
    """
    golden = data if data.is_file() else data / "golden.jsonl"
    split = halves(_golden(golden)) if golden.exists() else _beir(data)
    for half, queries in (("train on", split.train), ("measure on", split.held_out)):
        if len(queries) < FEWEST:
            missing = (
                f" {split.without_text} judged queries have no text: add it to queries.jsonl or queries_train.jsonl."
                if split.without_text
                else ""
            )
            raise InvalidRequest(
                f"{data} has {len(queries)} queries to {half} ({split.how}). Fine-tuning needs at least {FEWEST}, and says "
                f"nothing reliable below some hundred. Add judged queries.{missing}"
            )
    return replace(split, train=questions.evenly(split.train, limit), held_out=questions.evenly(split.held_out, limit))


def halves(queries: Sequence[Query]) -> Split:
    """By a hash of their words: whatever their order and number, a question stays on its side."""
    train = [query for query in queries if _hash(query) % 2]
    held_out = [query for query in queries if not _hash(query) % 2]
    return Split(train, held_out, "two halves by a hash of the question", 0)


def apart(queries: Sequence[Query]) -> tuple[list[Query], list[Query]]:
    """(to train on, to choose a setting by): of a training half a fifth is kept for that, by the same hash."""
    ordered = sorted(queries, key=_hash)
    kept = max(1, len(ordered) // 5)
    return ordered[kept:], ordered[:kept]


def _hash(query: Query) -> int:
    return int.from_bytes(hashlib.sha256(query.words.encode(errors="surrogatepass")).digest()[:8], "big")


def _golden(path: Path) -> list[Query]:
    return [
        Query(case.id, case.question, case.scope, dict.fromkeys(case.gold_documents, 1))
        for case in load_golden(path)
        if case.answerable and case.gold_documents
    ]


def _beir(data: Path) -> Split:
    texts = reading.read_queries(data)
    if (more := data / "queries_train.jsonl").exists():
        texts = reading.read_queries(data, more.name) | texts
    names = [name for name in ("train", "test") if (data / "qrels" / f"{name}.tsv").exists()]
    judged = [
        reading.read_qrels(data, name) for name in names or ["test"]
    ]  # without any, the reader says what is missing
    asked = [
        [Query(key, texts[key], reading.SCOPE, grades) for key, grades in half.items() if key in texts]
        for half in judged
    ]
    without_text = sum(key not in texts for half in judged for key in half)
    if len(asked) < 2:
        return replace(halves(asked[0]), without_text=without_text)
    train, held_out = asked
    same = {query.words for query in held_out}
    others = [query for query in train if query.words not in same]
    return Split(others, held_out, "qrels/train.tsv and qrels/test.tsv", len(train) - len(others), without_text)


# -- training examples -------------------------------------------------------------------------------------------------


def mined(
    queries: Sequence[Query], retriever: Retriever, *, seed: int, progress: reading.Progress | None = None
) -> list[Example]:
    """For each query and each of its gold documents: its best passage, and some of the best passages of other documents.

    They are what a reranker is shown, headings included. A query whose gold documents its scope cannot see gives nothing.
    """
    draw = random.Random(seed)  # not a secret
    found = []
    for done, query in enumerate(queries, 1):
        gold = retriever.retrieve(query.text, query.scope, limit=len(query.gold), where=OneOf("uri", tuple(query.gold)))
        others = [
            hit.chunk.indexed_text
            for hit in retriever.retrieve(query.text, query.scope, limit=MINED)
            if query.grades.get(hit.source.uri, 0) <= 0
        ]
        if others:
            found += [
                Example(query.text, hit.chunk.indexed_text, tuple(draw.sample(others, min(NEGATIVES, len(others)))))
                for hit in gold
            ]
        if progress:
            progress("mine", done, len(queries))
    return found


# -- measuring ---------------------------------------------------------------------------------------------------------


def served(
    queries: Sequence[Query], retriever: Retriever, *, what: str = "measure", progress: reading.Progress | None = None
) -> dict[str, list[str]]:
    """The documents that are served for each query, best first."""
    run = {}
    for done, query in enumerate(queries, 1):
        hits = retriever.retrieve(query.text, query.scope, limit=SERVED)
        run[query.query_id] = list(dict.fromkeys(hit.source.uri for hit in hits))
        if progress:
            progress(what, done, len(queries))
    return run


def compared(
    split: Split, before: Mapping[str, Sequence[str]], after: Mapping[str, Sequence[str]], *, seed: int
) -> dict[str, Any]:
    """nDCG@10 of both on what was held out, the gain with the 95 % interval of a paired bootstrap over the queries, and the
    verdict: better or worse where the interval says so.
    """
    judged = {query.query_id: query.grades for query in split.held_out}
    (was, each_before), (now, each_after) = (public_data.ranking_scores(judged, run) for run in (before, after))
    gain = metrics.estimate((each_after[key] - each_before[key] for key in judged), seed=seed, share=False)
    low, high = gain.low or 0.0, gain.high or 0.0
    return {
        "verdict": "better" if low > 0 else "worse" if high < 0 else "no difference shown",
        "told": f"nDCG@10 {gain.mean:+.3f} [{low:+.3f}, {high:+.3f}] on {gain.n} queries that it was not trained on.",
        "ndcg_at_10_before": was["ndcg_at_10"],
        "ndcg_at_10_after": now["ndcg_at_10"],
        "gain": gain.mean,
        "gain_low": low,
        "gain_high": high,
        "n_held_out": gain.n,
        "split": split.how,
        "queries_left_out": split.left_out,
        "queries_without_text": split.without_text,
    }


def best_weight(
    queries: Sequence[Query], weighted: Callable[[float], Retriever], *, progress: reading.Progress | None = None
) -> float:
    """The weight by which these queries are served best; of equals the smallest, which changes least."""
    judged = {query.query_id: query.grades for query in queries}

    def score(weight: float) -> float:
        run = served(queries, weighted(weight), what=f"weight {weight}", progress=progress)
        return public_data.ranking_scores(judged, run)[0]["ndcg_at_10"]

    return max(WEIGHTS, key=score)


class RemembersScores:
    """A reranker that scores a query and its passages once, for searches that differ only in its weight."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._known: dict[tuple[str, ...], list[float]] = {}

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        key = (query, *texts)
        if key not in self._known:
            self._known[key] = self._inner.score(query, texts)
        return self._known[key]

"""Measures retrieval and answers on any data in the public formats, through the product's own ingest and answer path.

A folder in BEIR layout has `corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`) and `qrels/test.tsv`
(query-id, corpus-id, score). A folder of questions has `qa.jsonl` (`id`, `question`, `doc_ids` or `contexts`, `answers`,
`answerable`) beside such a corpus. The caller opens a system on an empty data folder and passes its parts.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from extensions.datasets.reading import (
    SCOPE,
    TENANT,
    CorpusDocument,
    Progress,
    Question,
    foreign_questions,
    items_of,
    read_corpus,
    read_qrels,
    read_queries,
    read_questions,
)
from foundation.errors import InvalidRequest, SixplyError
from foundation.machine.process import peak_rss_mb
from foundation.text.words import word_count
from foundation.types import Principal
from lab.bench import risk_coverage
from models.contract import Embeddings
from observability.evaluation import metrics
from observability.evaluation.questions import evenly
from orchestration.events import Answer
from retrieval.contract import Retriever

if TYPE_CHECKING:
    pass

PRINCIPAL = Principal(subject="bench", tenant=TENANT, roles=frozenset({"reader"}))
DEPTH = 100
TIMED = 50
"""Queries that are asked once more, to see where the time goes."""
SHORT = 40
"""Words of a short answer: a whole page contains every answer."""
REFUSALS = ("abstained", "refused", "escalated")


Confidences = Callable[[], Mapping[str, float]]
"""Trace id -> how sure the system was of its evidence, of the answers that came to look at any."""


class Ingests(Protocol):
    """The part of `retrieval.ingest.pipeline.Ingestor` that is used here."""

    def ingest(self, items: Any, *, progress: Callable[[int], None] = ...) -> Any: ...


# -- retrieval ---------------------------------------------------------------------------------------------------------


def bench_retrieval(
    data: Path,
    *,
    ingestor: Ingests,
    retriever: Retriever,
    embedder: Embeddings | None = None,
    legs: Callable[[Sequence[str]], Mapping[str, float]] | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
    stack: Mapping[str, str] | None = None,
    seed: int = 7,
) -> dict[str, Any]:
    """Ingest the corpus, ask every judged query once for 100 documents, and score the documents.

    `limit` cuts the queries, never the corpus, which would make the task easier. Of documents with one id the last counts. Measures are those of ir-measures;
    a query that finds nothing counts as zero. The first query is asked once beforehand, unmeasured. With `embedder`,
    the same queries go to `RawFusion` over the same corpus, and the difference is given with its interval. `legs` is
    given some of the queries in the end and says where their time goes (`search_times`).

    Raises:
        InvalidRequest: the folder or one of its lines is not in BEIR layout.
    """
    lines_read = list(read_corpus(data))
    corpus = list({one.document_id: one for one in lines_read}.values())
    judged = read_qrels(data)
    queries = read_queries(data)
    asked = list(islice(((key, text) for key, text in queries.items() if key in judged), limit))
    if not asked:
        raise InvalidRequest(f"No query of {data} has a judgement in qrels/test.tsv, so there is nothing to measure.")
    ingested = _ingest(corpus, ingestor, progress)
    run, times_ms = _ask_all(asked, retriever, progress)
    wanted = {key: judged[key] for key, _ in asked}
    scores, each = ranking_scores(wanted, run)
    return {
        **scores,
        **(_against_raw_fusion(corpus, asked, wanted, each, embedder=embedder, seed=seed) if embedder else {}),
        **(legs([text for _, text in asked[:TIMED]]) if legs else {}),
        **ingested,
        "documents_repeated": len(lines_read) - len(corpus),
        "query_p50_ms": float(np.percentile(times_ms, 50)),
        "query_p95_ms": float(np.percentile(times_ms, 95)),
        "peak_rss_mb": peak_rss_mb(),
        "queries": len(asked),
        "queries_without_judgement": len(queries.keys() - judged.keys()),
        "data": data.name,
        "stack": dict(stack or {}),
    }


def _ingest(corpus: Sequence[CorpusDocument], ingestor: Ingests, progress: Progress | None) -> dict[str, Any]:
    items = items_of(corpus)
    begun = time.perf_counter()
    done = ingestor.ingest(items, progress=_counting(progress, "ingest", len(items)))
    seconds = time.perf_counter() - begun
    refused = sorted(refusal.uri for refusal in done.refused)
    documents = len(items) - len(refused)
    return {
        "documents": documents,
        "documents_refused": refused,
        "chunks": done.chunks,
        "docs_per_s": documents / seconds if seconds else 0.0,
        "ingest_s": seconds,
    }


def _ask_all(
    asked: Sequence[tuple[str, str]], retriever: Retriever, progress: Progress | None
) -> tuple[dict[str, list[str]], list[float]]:
    """Document ids for each query, best first, and the milliseconds that each query took."""
    retriever.retrieve(asked[0][1], SCOPE, limit=DEPTH)
    run: dict[str, list[str]] = {}
    times_ms = []
    count = _counting(progress, "retrieve", len(asked))
    for done, (key, text) in enumerate(asked, 1):
        begun = time.perf_counter()
        hits = retriever.retrieve(text, SCOPE, limit=DEPTH)
        times_ms.append((time.perf_counter() - begun) * 1000)
        run[key] = list(dict.fromkeys(hit.source.uri for hit in hits))[:DEPTH]
        count(done)
    return run, times_ms


def _against_raw_fusion(
    corpus: Sequence[CorpusDocument],
    asked: Sequence[tuple[str, str]],
    judged: Mapping[str, Mapping[str, int]],
    ours: Mapping[str, float],
    *,
    embedder: Embeddings,
    seed: int,
) -> dict[str, Any]:
    """Its scores, and by how much nDCG@10 is above it: the mean over the queries with its 95 % interval."""
    from lab.bench.raw_fusion import RawFusion

    texts = {one.document_id: f"{one.title}\n{one.text}".strip() for one in corpus}
    with closing(RawFusion({key: text for key, text in texts.items() if text}, embedder)) as raw:
        scores, theirs = ranking_scores(judged, {key: raw.rank(text) for key, text in asked})
    gain = metrics.estimate((ours[key] - theirs[key] for key in judged), seed=seed, share=False)
    return {
        **{f"raw_{name}": score for name, score in scores.items()},
        "ndcg_gain": gain.mean,
        "ndcg_gain_low": gain.low,
        "ndcg_gain_high": gain.high,
    }


def ranking_scores(
    judged: Mapping[str, Mapping[str, int]], run: Mapping[str, Sequence[str]]
) -> tuple[dict[str, float], dict[str, float]]:
    """The means, and nDCG@10 of each query. Ids are replaced by numbers, so that no character in them can matter to the
    measuring library.
    """
    import ir_measures
    from ir_measures import RR, P, Qrel, R, ScoredDoc, nDCG

    keys = {
        "ndcg_at_10": nDCG @ 10,
        "recall_at_10": R @ 10,
        "recall_at_100": R @ 100,
        "mrr_at_10": RR @ 10,
        "precision_at_3": P @ 3,
        "recall_at_3": R @ 3,
    }
    numbers: dict[str, str] = {}

    def number(document: str) -> str:
        return numbers.setdefault(document, f"d{len(numbers)}")

    order = {key: f"q{position}" for position, key in enumerate(judged)}
    qrels = [Qrel(order[key], number(one), score) for key, scores in judged.items() for one, score in scores.items()]
    scored = [
        ScoredDoc(order[key], number(one), float(DEPTH - rank))
        for key, ids in run.items()
        for rank, one in enumerate(ids)
    ]
    nothing = [ScoredDoc(order[key], "nothing", 0.0) for key, ids in run.items() if not ids]
    found: Any = ir_measures.calc(keys.values(), qrels, scored + nothing)
    names = {place: key for key, place in order.items()}
    each = {names[one.query_id]: float(one.value) for one in found.per_query if one.measure == keys["ndcg_at_10"]}
    return {name: float(found.aggregated[measure]) for name, measure in keys.items()}, each


# -- answers -----------------------------------------------------------------------------------------------------------


async def bench_answers(
    data: Path,
    *,
    ingestor: Ingests,
    answer: Callable[[Question], Awaitable[Answer]],
    confidences: Confidences | None = None,
    foreign: Path | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
    stack: Mapping[str, str] | None = None,
    seed: int = 7,
) -> dict[str, Any]:
    """Ingest the corpus, ask every question through `answer`, and score what comes back.

    Shares are means over the questions that they apply to; `n_...` says how many those are. An answerable question
    without an answer counts as 0 for `answer_contained`, `token_f1` and `citation_recall`; `short_answer_contained` is
    the first of these with an answer of more than `SHORT` words counting as 0; `citation_precision` is over the answers
    that cite. With `limit`, questions are drawn evenly over the file, because such files are sorted.
    The questions of `foreign`, another folder, are asked of this corpus as well, and all count as unanswerable. With
    `confidences`, the risk is given at every coverage.

    Raises:
        InvalidRequest: the folder or one of its lines is not in the format.
    """
    questions, corpus = read_questions(data)
    asked = evenly(questions, limit)
    others = evenly(foreign_questions(foreign), limit) if foreign else []
    ingested = _ingest(corpus, ingestor, progress)
    rows = await _answers(asked, answer, _counting(progress, "answer", len(asked)))
    foreign_rows = await _answers(others, answer, _counting(progress, "foreign", len(others)))
    shares = {"refused_foreign": [row["refused_unanswerable"] for row in foreign_rows]}
    scores = _answer_scores(rows, seed) | {"n_foreign": len(foreign_rows)}
    if confidences:
        known = confidences()
        for row in (*rows, *foreign_rows):
            row["confidence"] = known.get(row["trace_id"])
        scores |= risk_coverage.curves(rows)
        scores["threshold_at_85"], at_85 = risk_coverage.refused_at_85(rows, foreign_rows)
        shares |= at_85
    for name, values in shares.items():
        one = metrics.estimate(values, seed=seed)
        scores[name] = one.mean
        scores["intervals_95"][name] = [one.low, one.high]
    return {
        **scores,
        **ingested,
        "peak_rss_mb": peak_rss_mb(),
        "data": data.name,
        "foreign": foreign.name if foreign else None,
        "stack": dict(stack or {}),
        "rows": rows,
        "foreign_rows": foreign_rows,
    }


async def _answers(
    asked: Sequence[Question], answer: Callable[[Question], Awaitable[Answer]], count: Callable[[int], None]
) -> list[dict[str, Any]]:
    rows = []
    for done, question in enumerate(asked, 1):
        rows.append(await _answered(question, answer))
        count(done)
    return rows


async def _answered(question: Question, answer: Callable[[Question], Awaitable[Answer]]) -> dict[str, Any]:
    begun = time.perf_counter()
    try:
        given: Answer | None = await answer(question)
        error = None
    except SixplyError as raised:
        given, error = None, f"{raised.code}: {raised}"
    seconds = time.perf_counter() - begun
    citations = list(dict.fromkeys(citation.uri for citation in given.citations)) if given else []
    said = metrics.without_markers(given.text, (citation.marker for citation in given.citations)) if given else ""
    status = given.status if given else "failed"
    return {
        "id": question.question_id,
        "question": question.question,
        "answerable": question.answerable,
        "doc_ids": list(question.documents),
        "answers": list(question.answers),
        "turns_before": len(question.history),
        "status": status,
        "stop_reason": given.stop_reason if given else "error",
        "path": given.path if given else "none",
        "answer": given.text if given else "",
        "citations": citations,
        "degraded": list(given.degraded) if given else [],
        "error": error,
        "seconds": seconds,
        "first_token_s": given.first_token_s if given else None,
        "input_tokens": given.usage.input_tokens if given else None,
        "cached_input_tokens": given.usage.cached_input_tokens if given else None,
        "usd": float(given.cost_usd) if given and given.cost_usd is not None else None,
        "trace_id": given.trace_id if given else None,
        "words": word_count(said),
        **_row_scores(question, status, said, citations),
    }


def _row_scores(question: Question, status: str, text: str, citations: Sequence[str]) -> dict[str, float | None]:
    answered = status == "answered"
    gold = question.answerable and bool(question.answers)
    cited = question.answerable and bool(question.documents)
    contained = answered and metrics.contains(text, question.answers)
    return {
        "answer_contained": float(contained) if gold else None,
        "short_answer_contained": float(contained and word_count(text) <= SHORT) if gold else None,
        "token_f1": (metrics.token_f1(text, question.answers) if answered else 0.0) if gold else None,
        "citation_precision": metrics.precision(citations, question.documents) if cited and answered else None,
        "citation_recall": metrics.recall(citations if answered else (), question.documents) if cited else None,
        "refused_unanswerable": None if question.answerable else float(status in REFUSALS),
    }


def _answer_scores(rows: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    answered = [row for row in rows if row["status"] == "answered"]
    priced = [row["usd"] for row in rows if row["usd"] is not None]
    shares = (
        "answer_contained",
        "short_answer_contained",
        "token_f1",
        "citation_precision",
        "citation_recall",
        "refused_unanswerable",
    )
    found = {name: metrics.estimate((row[name] for row in rows), seed=seed) for name in shares}
    return {
        **{name: one.mean for name, one in found.items()},
        "answered_share": _mean([float(row["status"] == "answered") for row in rows]),
        "words_per_answer": _mean([row["words"] for row in answered]),
        "s_per_answer": _mean([row["seconds"] for row in rows]),
        "first_token_p50_s": _percentile([row["first_token_s"] for row in rows], 50),
        "first_token_p95_s": _percentile([row["first_token_s"] for row in rows], 95),
        "cached_input_share": _cached_share(rows),
        "usd_per_answer": _mean(priced),
        "answer_contained_where_answered": _mean([row["answer_contained"] for row in answered]),
        "n_questions": len(rows),
        "n_answerable": sum(row["answerable"] for row in rows),
        "n_unanswerable": sum(not row["answerable"] for row in rows),
        "n_answered": len(answered),
        f"n_above_{SHORT}_words": sum(row["words"] > SHORT for row in answered),
        "n_failed": sum(row["status"] == "failed" for row in rows),
        "n_unpriced": len(rows) - len(priced),
        "n_with_history": sum(row["turns_before"] > 0 for row in rows),
        **{f"n_{name}": one.n for name, one in found.items()},
        "intervals_95": {name: [one.low, one.high] for name, one in found.items() if one.n},
    }


def _cached_share(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Of the tokens that the chat model was given, those that it had kept from an earlier prompt; `None` where it was never
    asked, or does not say.
    """
    told = [row for row in rows if row["input_tokens"] and row["cached_input_tokens"] is not None]
    given = sum(row["input_tokens"] for row in told)
    return sum(row["cached_input_tokens"] for row in told) / given if given else None


def _percentile(values: Sequence[float | None], at: float) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.percentile(known, at)) if known else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


# -- reading -----------------------------------------------------------------------------------------------------------


def _counting(progress: Progress | None, what: str, total: int) -> Callable[[int], None]:
    return (lambda done: progress(what, done, total)) if progress else lambda _: None

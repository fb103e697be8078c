"""What reading a follow-up question with its conversation gains for retrieval: the same corpus, the last turn as it was
asked and together with its context (`orchestration.history`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extensions.datasets import reading
from extensions.planned_agent.document_steps import in_one_ranking
from extensions.planned_agent.follow_ups import in_context
from foundation.errors import InvalidRequest
from foundation.types import Scope
from lab.bench import public_data
from observability.evaluation import metrics, questions
from retrieval.contract import Retriever

DEPTH = 20


@dataclass(frozen=True, slots=True)
class FollowUp:
    """The last question of a conversation, what the person asked before it, and the documents that answer it."""

    key: str
    question: str
    earlier: tuple[str, ...]
    judged: Mapping[str, int]
    scope: Scope

    @property
    def query(self) -> str:
        return in_context(self.question, self.earlier)


def read_follow_ups(data: Path) -> list[FollowUp]:
    """Of a folder in BEIR layout whose queries have `metadata.history`, or of a file with `history` and
    `gold_documents`.

    Raises:
        InvalidRequest: it is neither, or no query has a history.
    """
    read = _of_file(data) if data.is_file() else _of_folder(data)
    if not any(one.earlier for one in read):
        raise InvalidRequest(f"No query of {data} has earlier turns (metadata.history), so nothing can be measured.")
    return read


def bench_follow_ups(
    cases: Sequence[FollowUp], retriever: Retriever, *, progress: Callable[[int], None] | None = None, seed: int = 7
) -> dict[str, Any]:
    """nDCG@10 of the last turn as asked and with its context; `rewritten_...` is over those that were given one."""
    asked: dict[str, list[str]] = {}
    with_context: dict[str, list[str]] = {}
    for done, case in enumerate(cases, 1):
        searches = [
            retriever.retrieve(text, case.scope, limit=DEPTH) for text in dict.fromkeys((case.query, case.question))
        ]
        asked[case.key] = _documents([searches[-1]])
        with_context[case.key] = _documents(searches)
        if progress:
            progress(done)
    judged = {case.key: case.judged for case in cases}
    before, after = (public_data.ranking_scores(judged, run)[1] for run in (asked, with_context))
    followed = [case.key for case in cases if case.earlier]
    rewritten = [case.key for case in cases if case.query != case.question]
    gain = metrics.estimate((after[key] - before[key] for key in rewritten), seed=seed, share=False)
    return {
        "queries": len(cases),
        "queries_with_history": len(followed),
        "queries_rewritten": len(rewritten),
        "ndcg_at_10_asked": _mean(before, judged),
        "ndcg_at_10_in_context": _mean(after, judged),
        "history_ndcg_at_10_asked": _mean(before, followed),
        "history_ndcg_at_10_in_context": _mean(after, followed),
        "rewritten_ndcg_at_10_asked": _mean(before, rewritten),
        "rewritten_ndcg_at_10_in_context": _mean(after, rewritten),
        "rewritten_gain": gain.mean,
        "rewritten_gain_low": gain.low,
        "rewritten_gain_high": gain.high,
    }


def _documents(searches: Sequence[Any]) -> list[str]:
    return list(dict.fromkeys(hit.source.uri for hit in in_one_ranking(searches)))


def _mean(scores: Mapping[str, float], keys: Any) -> float | None:
    values = [scores[key] for key in keys]
    return sum(values) / len(values) if values else None


def _of_folder(data: Path) -> list[FollowUp]:
    judged = reading.read_qrels(data)
    rows = [row for _, row in questions.lines(data / "queries.jsonl")]
    histories = {str(row.get("_id")): (row.get("metadata") or {}).get("history") or [] for row in rows}
    return [
        FollowUp(key, text, _asked(histories[key]), judged[key], reading.SCOPE)
        for key, text in reading.read_queries(data).items()
        if key in judged
    ]


def _of_file(path: Path) -> list[FollowUp]:
    return [
        FollowUp(
            reading.field(row, "id", path, number),
            reading.field(row, "question", path, number),
            _asked(row.get("history") or ()),
            dict.fromkeys(row.get("gold_documents") or (), 1),
            Scope(reading.field(row, "tenant", path, number)),
        )
        for number, row in questions.lines(path)
    ]


def _asked(history: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(str(turn["content"]) for turn in history if turn.get("role") == "user")

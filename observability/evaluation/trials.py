"""What is asked to compare two runs: the cases of a golden set, and the documents that they ask about."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import InvalidRequest, did_you_mean
from foundation.types import EVERY_TENANT
from observability.evaluation.golden_set import GoldenCase, ask_one, load_golden
from observability.evaluation.leaks import LeakFinder
from observability.evaluation.questions import evenly
from orchestration.events import Answer
from retrieval.documents import OF_THE_LEDGER, Source

if TYPE_CHECKING:
    from retrieval.ingest.preparation import Item

DEPTH = 10


@dataclass(frozen=True)
class Trial:
    """One question. `grades` are the judged documents; `ask` is false for a question that is only searched for."""

    case: GoldenCase
    grades: Mapping[str, int] = field(default_factory=dict)
    ask: bool = True


@dataclass(frozen=True)
class Material:
    """A corpus and its trials, each with a digest, because runs on different data must not be compared."""

    name: str
    items: Sequence[Item]
    trials: Sequence[Trial]

    @property
    def corpus_digest(self) -> str:
        return _digest(
            [[item.name, _source_fields(item.source), hashlib.sha256(item.content).hexdigest()] for item in self.items]
        )

    @property
    def trials_digest(self) -> str:
        asked = (
            # a case without history is the one that it was before cases had any
            trial.case.model_dump(
                mode="json", exclude={"evidence", "reviewed_by", *(() if trial.case.history else ("history",))}
            )
            for trial in self.trials
        )
        return _digest([[case, dict(trial.grades), trial.ask] for case, trial in zip(asked, self.trials, strict=True)])


def golden_documents(data: Path, cases: Sequence[GoldenCase]) -> list[Item]:
    """Read the corpus of a golden set. Files without a tenant in sources.jsonl belong to the tenant of all cases that
    have an answer. Raises InvalidRequest: these have several tenants. As `retrieval.ingest.folders.read_folder`.
    """
    from retrieval.ingest.folders import SOURCES, read_folder

    tenants = sorted({case.tenant for case in cases if case.answerable} or {case.tenant for case in cases})
    # not to every tenant, where one is known: such documents would hide leaks to the others
    items = read_folder(data / "corpus", tenant=tenants[0] if len(tenants) == 1 else EVERY_TENANT)
    if len(tenants) > 1 and (unowned := items.files_without_tenant):
        more = f", nor of {len(unowned) - 1} more" if len(unowned) > 1 else ""
        askers = {case.tenant for case in cases if case.answerable and unowned[0] in case.gold_documents}
        owner = askers.pop() if len(askers) == 1 else "TENANT"
        line = json.dumps({"path": unowned[0], "tenant": owner}, ensure_ascii=False)
        raise InvalidRequest(
            f"{data / SOURCES} does not say whose document {unowned[0]} is{more}, and questions with an answer are asked as "
            f'several tenants: {", ".join(tenants)}. Add a line for it, like {line}; "{EVERY_TENANT}" is for every tenant.'
        )
    return list(items)


def material(data: Path, limit: int | None = None) -> Material:
    """Read the trials of a golden set. `limit` samples the cases evenly and keeps the whole corpus.
    Raises InvalidRequest: a line is malformed, or a case names a document that is not there.
    """
    cases = load_golden(data / "golden.jsonl")
    items = golden_documents(data, cases)
    uris = {item.source.uri for item in items}
    for case in cases:
        if lost := next((uri for uri in case.gold_documents if uri not in uris), None):
            raise InvalidRequest(
                f'Case {case.id} of {data / "golden.jsonl"} names the document "{lost}", which is not in {data / "corpus"}. '
                f"Name it as it stands below that folder. {did_you_mean(lost, sorted(uris))}"
            )
    trials = [Trial(case, dict.fromkeys(case.gold_documents, 1)) for case in cases]
    return Material(data.name, items, evenly(trials, limit))


def _source_fields(source: Source) -> dict[str, Any]:
    offered = {name: value for name, value in asdict(source).items() if name not in OF_THE_LEDGER}
    # without its folder, which differs between machines
    return offered | {"groups": sorted(source.groups), "origin": ""}


async def row_of(
    trial: Trial,
    answer: Callable[[GoldenCase], Awaitable[Answer]],
    retrieve: Callable[[GoldenCase], Sequence[str]],
    leaks: LeakFinder,
) -> dict[str, Any]:
    """Ask and search once."""
    row: dict[str, Any] = {"id": trial.case.id, "question": trial.case.question, "asked": trial.ask}
    # the answer first: after the search the embedding cache would make it faster
    if trial.ask:
        scored = await ask_one(trial.case, answer, leaks=leaks)
        row |= scored.as_dict() | {"answer_ms": scored.seconds * 1000}
    started_s = time.perf_counter()
    uris = list(dict.fromkeys(retrieve(trial.case)))[:DEPTH]
    row |= {"found": uris, "search_ms": (time.perf_counter() - started_s) * 1000}
    return row | (ranking_of(trial.grades, uris) if trial.grades else {})


def ranking_of(grades: Mapping[str, int], uris: Sequence[str]) -> dict[str, float]:
    """Return recall, nDCG and reciprocal rank of the first ten documents, as ir-measures computes them."""
    import ir_measures
    from ir_measures import RR, Qrel, R, ScoredDoc, nDCG

    numbers = {document: f"d{position}" for position, document in enumerate([*grades, *uris])}
    qrels = [Qrel("q", numbers[document], grade) for document, grade in grades.items()]
    run = [ScoredDoc("q", numbers[document], -float(rank)) for rank, document in enumerate(uris)]
    keys = {"recall_at_10": R @ 10, "ndcg_at_10": nDCG @ 10, "mrr_at_10": RR @ 10}
    scores = ir_measures.calc_aggregate(keys.values(), qrels, run or [ScoredDoc("q", "nothing", 0.0)])
    return {name: float(scores[measure]) for name, measure in keys.items()}


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()

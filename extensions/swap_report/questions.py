"""What a folder asks of two systems: a golden set, or a benchmark's `qa.jsonl` (asked) or `queries.jsonl` (searched for only)."""

from pathlib import Path
from typing import Any

from extensions.datasets import reading
from foundation.errors import InvalidRequest
from observability.evaluation import trials
from observability.evaluation.golden_set import GoldenCase, Kind
from observability.evaluation.questions import evenly
from observability.evaluation.trials import Material, Trial


def read_material(data: Path, limit: int | None = None) -> Material:
    """Read the trials of a folder. `limit` samples the questions evenly and keeps the whole corpus.
    Raises InvalidRequest: the folder has none of golden.jsonl, qa.jsonl and queries.jsonl, or a line is malformed.
    """
    if (data / "golden.jsonl").exists():
        return trials.material(data, limit)
    if (data / "qa.jsonl").exists():
        questions, corpus = reading.read_questions(data)
        asked = [Trial(*_case_of(question)) for question in questions]
    elif (data / "queries.jsonl").exists():
        corpus, texts = list(reading.read_corpus(data)), reading.read_queries(data)
        judged = ((key, grades) for key, grades in reading.read_qrels(data).items() if key in texts)
        asked = [Trial(_case(key, texts[key], answerable=True), grades, ask=False) for key, grades in judged]
    else:
        corpus, asked = [], []
    if not asked:
        raise InvalidRequest(
            f"{data} has no golden.jsonl, no qa.jsonl and no queries.jsonl with judgements, so there is nothing to ask."
        )
    return Material(data.name, reading.items_of(corpus), evenly(asked, limit))


def _case_of(question: reading.Question) -> tuple[GoldenCase, dict[str, int]]:
    more = {"gold_documents": question.documents, "answers": question.answers}
    case = _case(question.question_id, question.question, answerable=question.answerable, **more)
    return case, dict.fromkeys(question.documents, 1) if question.answerable else {}


def _case(key: str, text: str, *, answerable: bool, **more: Any) -> GoldenCase:
    kind: Kind = "answerable" if answerable else "unanswerable"
    return GoldenCase(id=key, question=text, kind=kind, tenant=reading.TENANT, answerable=answerable, **more)

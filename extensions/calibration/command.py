"""`sixply calibrate`: ask questions with and without an answer, and fit the thresholds of the answers to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foundation import names
from foundation.types import Principal
from serving.cli import terminal
from serving.cli.options import STACK, Json, Limit, Stack, load_stack

if TYPE_CHECKING:
    from orchestration.events import Answer
    from retrieval.ingest.preparation import Item
    from serving.wiring import System

READER = frozenset({"reader"})


def calibrate(
    *,
    data: Annotated[
        Path | None,
        typer.Option(help="A folder with qa.jsonl; by default the golden set.", exists=True, file_okay=False),
    ] = None,
    foreign: Annotated[
        Path | None,
        typer.Option(help="A folder of questions that this corpus does not answer.", exists=True, file_okay=False),
    ] = None,
    limit: Limit = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Measure the thresholds for showing something and for calling it an answer, on questions that may be tuned on."""
    from extensions.calibration import fitting
    from extensions.datasets.reading import foreign_questions
    from observability.evaluation.questions import evenly
    from observability.stores import history
    from serving.judge.trial import ask, empty_system

    answers_all = {"retrieval": {"grounding": {"min_evidence": 0.0}}}
    opened = empty_system(partial(load_stack, stack), answers_all)
    with opened as (system, parts), terminal.progress() as progress:
        items, own = _own_questions(system, data, limit)
        others = evenly(foreign_questions(foreign), limit) if foreign else []
        rows = [(*row, False) for row in own] + [
            (stranger.question, own[0][1], _answers_none, True) for stranger in others
        ]
        known = [row[2] is not _answers_none for row in rows]
        fitting.demand_enough(known.count(True), known.count(False))
        system.retrieval.ingestor.ingest(items, progress=lambda done: progress("ingest", done, len(items)))

        async def ask_all() -> list[Answer]:
            answers = []
            for done, (question, person, *_) in enumerate(rows, 1):
                answers.append(await ask(system, question, person))
                progress("ask", done, len(rows))
            return answers

        answers = asyncio.run(ask_all())
        system.observability.telemetry.flush()
        strengths, said, against = (
            history.last_of(system.observability.spans, name)
            for name in (names.CONFIDENCE, names.SAID, names.CONTRADICTED)
        )
        graded, judged = [], []
        for answer, (_, _, right, stranger) in zip(answers, rows, strict=True):
            if (trace := answer.trace_id) not in strengths:
                continue
            graded.append(fitting.Graded(strengths[trace], right is not _answers_none, stranger))
            if answer.band and trace in said:
                judged.append(fitting.Judged(strengths[trace], said[trace], against[trace], right(answer.text)))
        figures = fitting.calibrate(graded, seed=system.context.seed)
        least = figures["min_evidence"]
        figures |= fitting.fit_confidence([each for each in judged if each.strength >= least])
    figures |= {"n_not_graded": len(rows) - len(graded), "data": data.name if data else "golden set", "stack": parts}
    if not terminal.write_json(json, figures):
        _show_calibration(figures)


def _show_calibration(figures: dict[str, Any]) -> None:
    figures = {name: value for name, value in figures.items() if name not in {"intervals_95", "stack"}}
    at, right = figures.pop("at"), figures.pop("answered_right", None)
    if right and right["mean"] is not None:
        figures["answered_right"] = f"{right['mean']:.3f} [{right['low']:.3f}, {right['high']:.3f}] (n={right['n']})"
    terminal.show_table(["figure", ""], [(name, _format(value)) for name, value in figures.items()])
    terminal.show_table(list(at[0]), [[_format(value) for value in row.values()] for row in at])


def _format(value: Any) -> object:
    return f"{value:.3f}" if isinstance(value, float) else "" if value is None else value


def _own_questions(
    system: System, data: Path | None, limit: int | None
) -> tuple[Sequence[Item], list[tuple[str, Principal, Callable[[str], bool]]]]:
    """Return the documents, and for each of their questions: the text, who asks it, and what judges an answer to it."""
    from extensions.datasets.reading import TENANT, items_of, read_questions
    from observability.evaluation.golden_set import load_golden
    from observability.evaluation.metrics import contains
    from observability.evaluation.questions import evenly
    from observability.evaluation.trials import golden_documents
    from serving.judge.trial import golden_file

    if data is None:
        golden = golden_file(system.settings)
        cases = load_golden(golden)
        chosen = [case for case in evenly(cases, limit) if case.tool is None]
        people = [Principal("bench", case.tenant, READER, frozenset(case.groups)) for case in chosen]
        judges: list[Callable[[str], bool]] = [
            case.answered_by if case.answerable else _answers_none for case in chosen
        ]
        own = list(zip((case.question for case in chosen), people, judges, strict=True))
        return golden_documents(golden.parent, cases), own
    questions, corpus = read_questions(data)
    person = Principal("bench", TENANT, READER)
    return items_of(corpus), [
        (row.question, person, partial(contains, golds=row.answers) if row.answerable else _answers_none)
        for row in evenly(questions, limit)
    ]


def _answers_none(_: str) -> bool:
    """Judge an answer to a question that no document answers."""
    return False

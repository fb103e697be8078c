"""`sixply evaluate` and `calibrate`: score questions with known answers, and choose the threshold to answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from foundation import names
from foundation.types import Principal
from serving.cli import terminal
from serving.cli.options import STACK, Golden, Json, Limit, Stack, load_stack

if TYPE_CHECKING:
    from observability.evaluation.golden_set import GoldenCase, Report
    from retrieval.ingest.preparation import Item
    from serving.wiring import System

READER = frozenset({"reader"})


def evaluate(golden: Golden = None, limit: Limit = None, json: Json = None, stack: Stack = STACK) -> None:
    """Score a golden set against the documents in the ledger."""
    from observability.evaluation.datasets import evenly
    from observability.evaluation.golden_set import NOBODY, load_golden
    from serving.cli.judge.judge_agreement import add_marks
    from serving.cli.opening import open_or_ask
    from serving.judge.trial import evaluation_file, golden_file, golden_report, texts_of

    loaded = load_stack(stack)
    golden = golden or golden_file(loaded.settings)
    cases = cast("list[GoldenCase]", evenly(cast("Any", load_golden(golden)), limit))
    if unread := sum(case.reviewed_by == NOBODY for case in cases):
        terminal.show_note(f"{unread} of {len(cases)} cases were reviewed by nobody: a wrong answer may be theirs.")
    with open_or_ask(loaded, ["agent"]) as system, terminal.progress() as progress:
        stored = {text.uri for text in texts_of(system, cases)}
        if lost := sorted({uri for case in cases for uri in case.gold_documents} - stored):
            terminal.show_note(
                f"Not in the ledger, so that search cannot find what their cases name: {', '.join(lost[:5])}"
                f"{f' and {len(lost) - 5} more' if len(lost) > 5 else ''}. Ingest them, or name them as `make documents` does."
            )

        async def score() -> tuple[Report, dict[str, Any]]:
            report = await golden_report(system, cases, lambda done: progress("ask", done, len(cases)))
            return await add_marks(system, report, lambda done: progress("judge", done, len(cases)))

        report, judge = asyncio.run(score())
    figures = report.as_dict() | ({"judge": judge} if judge else {})
    terminal.write_json(evaluation_file(loaded.settings), figures)
    if judge:
        terminal.show_note(judge["told"])
    if not terminal.write_json(json, figures):
        for table in (report.table(), report.slice_table(), *([report.worst_table()] if report.worst() else [])):
            terminal.show(table)
            terminal.show("")


def calibrate(
    *,
    data: Annotated[
        Path | None, typer.Option(help="A folder with qa.jsonl; else the golden set.", exists=True, file_okay=False)
    ] = None,
    foreign: Annotated[
        Path | None,
        typer.Option(help="A folder whose questions this corpus does not answer.", exists=True, file_okay=False),
    ] = None,
    limit: Limit = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """From which confidence on to answer (min_evidence), from questions that may be tuned on."""
    from observability.evaluation import calibration
    from observability.evaluation.datasets import evenly, foreign_questions
    from observability.stores import history
    from serving.judge.trial import ask, empty_system

    answers_all = {"retrieval": {"grounding": {"min_evidence": 0.0}}}
    opened = empty_system(partial(load_stack, stack), answers_all)
    with opened as (system, parts), terminal.progress() as progress:
        items, own = _own_questions(system, data, limit)
        others = evenly(foreign_questions(foreign), limit) if foreign else []
        rows = [(*row, False) for row in own] + [(stranger.question, own[0][1], False, True) for stranger in others]
        calibration.demand_enough(*(sum(row[2] is answerable for row in rows) for answerable in (True, False)))
        system.ingestor.ingest(items, progress=lambda done: progress("ingest", done, len(items)))

        async def ask_all() -> list[str | None]:
            traces = []
            for done, (question, person, *_) in enumerate(rows, 1):
                traces.append((await ask(system, question, person)).trace_id)
                progress("ask", done, len(rows))
            return traces

        traces = asyncio.run(ask_all())
        system.telemetry.flush()
        confidences = history.last_of(system.spans, names.CONFIDENCE)
        graded = [
            calibration.Graded(confidences[trace], answerable, stranger)
            for trace, (_, _, answerable, stranger) in zip(traces, rows, strict=True)
            if trace in confidences
        ]
        figures = calibration.calibrate(graded, seed=system.context.seed)
    figures |= {"n_not_graded": len(rows) - len(graded), "data": data.name if data else "golden set", "stack": parts}
    if not terminal.write_json(json, figures):
        for hidden in ("intervals_95", "stack"):
            figures.pop(hidden)
        at = figures.pop("at")
        terminal.show_table(["figure", ""], [(name, _format(value)) for name, value in figures.items()])
        terminal.show_table(list(at[0]), [[_format(value) for value in row.values()] for row in at])


def _format(value: Any) -> object:
    return f"{value:.3f}" if isinstance(value, float) else "" if value is None else value


def _own_questions(
    system: System, data: Path | None, limit: int | None
) -> tuple[Sequence[Item], list[tuple[str, Principal, bool]]]:
    """Return the documents, and for each of their questions: the text, who asks it, and whether they answer it."""
    from observability.evaluation.datasets import TENANT, evenly, items_of, read_questions
    from observability.evaluation.golden_set import load_golden
    from observability.evaluation.trials import golden_documents
    from serving.judge.trial import golden_file

    if data is None:
        golden = golden_file(system.settings)
        cases = load_golden(golden)
        chosen = [case for case in evenly(cases, limit) if case.tool is None]
        people = [Principal("bench", case.tenant, READER, frozenset(case.groups)) for case in chosen]
        own = [(case.question, person, case.answerable) for case, person in zip(chosen, people, strict=True)]
        return golden_documents(golden.parent, cases), own
    questions, corpus = read_questions(data)
    person = Principal("bench", TENANT, READER)
    return items_of(corpus), [(row.question, person, row.answerable) for row in evenly(questions, limit)]

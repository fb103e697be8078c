"""`sixply evaluate`: score questions with known answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from serving.cli import terminal
from serving.cli.options import STACK, Golden, Json, Limit, Stack, load_stack

if TYPE_CHECKING:
    from observability.evaluation.golden_set import GoldenCase


def evaluate(golden: Golden = None, limit: Limit = None, json: Json = None, stack: Stack = STACK) -> None:
    """Score the system on the golden set."""
    from observability.evaluation.golden_set import NOBODY, load_golden
    from observability.evaluation.questions import evenly
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
        report = asyncio.run(golden_report(system, cases, lambda done: progress("ask", done, len(cases))))
    figures = report.as_dict()
    terminal.write_json(evaluation_file(loaded.settings), figures)
    if not terminal.write_json(json, figures):
        for table in (report.table(), report.slice_table(), *([report.worst_table()] if report.worst() else [])):
            terminal.show(table)
            terminal.show("")

"""`sixply drift`: changes since last week."""

import functools
from typing import Annotated

import typer

from foundation.clock import SystemClock
from observability.rendering import formatting
from serving.cli import terminal
from serving.cli.opening import open_costs, open_spans
from serving.cli.options import STACK, Json, Stack, exit_unless, load_stack


def drift(
    days: Annotated[float, typer.Option(min=0.001, help="Compare this many days with as many before.")] = 7,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Compare this week with last week: quality, questions, refusals, time, cost, parts. Exit status 1: something changed."""
    from extensions.drift import drift as drifts
    from extensions.drift.runs import changes
    from extensions.feedback.commands import open_outcomes
    from foundation.machine import manifest

    settings = load_stack(stack).settings
    with open_costs(settings) as costs, open_outcomes(settings) as outcomes:
        report = drifts.drift(
            open_spans(settings),
            costs,
            outcomes.all(),
            now=SystemClock().now(),
            days=days,
            changed=functools.partial(changes, settings.foundation.data_dir / manifest.FOLDER),
        )
    if not terminal.write_json(json, report.as_dict()):
        columns = ["figure", "before", "now", "99 % interval of the change", "n before", "n now", ""]
        rows = []
        for figure in report.figures.values():
            before, now = map(formatting.figure, (figure.before, figure.now))
            interval = (
                ""
                if figure.low is None
                else " to ".join(formatting.figure(end, signed=True) for end in (figure.low, figure.high))
            )
            rows.append((figure.words, before, now, interval, figure.n_before, figure.n_now, figure.verdict))
        terminal.show_table(columns, rows)
        out = terminal.console()
        for note in report.notes:
            out.print(terminal.plain(note))
        out.print(f"[bold]{report.conclusion}[/]")
    exit_unless(ok=not report.moved_figures)

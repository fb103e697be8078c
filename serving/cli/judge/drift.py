"""`sixply drift`: what has changed since last week."""

from __future__ import annotations

import functools
from contextlib import closing
from typing import Annotated

import typer

from foundation.clock import SystemClock
from serving.cli import terminal
from serving.cli.options import STACK, Json, Stack, exit_unless, load_stack


def drift(
    days: Annotated[float, typer.Option(min=0.001, help="The last so many days, against as many before.")] = 7,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """What has changed since last week: quality, questions, refusals, time, cost, parts. 1: something moved."""
    from foundation.machine import manifest
    from foundation.settings import make_data_dir
    from observability.evaluation import drift as drifts
    from observability.stores.costs import CostLedger
    from observability.stores.outcomes import OutcomeStore
    from observability.stores.spans import SpanStore

    data = make_data_dir(load_stack(stack).settings.foundation.data_dir)
    with (
        closing(CostLedger(data / "costs.sqlite")) as costs,
        closing(OutcomeStore(data / "outcomes.sqlite")) as outcomes,
    ):
        found = drifts.drift(
            SpanStore(data / "spans.sqlite"),
            costs,
            outcomes.all(),
            now=SystemClock().now(),
            days=days,
            changed=functools.partial(manifest.changes, data / manifest.FOLDER),
        )
    if not terminal.write_json(json, found.as_dict()):
        terminal.show_table(
            ["figure", "before", "now", "99 % interval of the change", "n before", "n now", ""],
            [
                (
                    one.words,
                    _mean(one.before),
                    _mean(one.now),
                    "" if one.low is None else f"{one.low:+.4g} to {one.high:+.4g}",
                    one.n_before,
                    one.n_now,
                    one.verdict,
                )
                for one in found.figures.values()
            ],
        )
        asked, out = found.questions, terminal.console()
        chance = "" if asked.p is None else f", by chance {asked.p:.1%}"
        out.print(f"\nbefore: {found.before}; now: {found.now}")
        out.print(f"what is asked: {asked.verdict} (n = {asked.n_before} and {asked.n_now}{chance})")
        for note in found.notes:
            out.print(terminal.plain(note))
        out.print(f"[bold]{found.conclusion}[/]")
    exit_unless(ok=not found.moved)


def _mean(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"

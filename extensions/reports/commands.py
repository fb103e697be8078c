"""`sixply traces`, `slow`, `failures` and `forecast`: reports for operators."""

from dataclasses import asdict
from datetime import date
from typing import Annotated

import typer

from foundation.clock import SystemClock
from serving.cli import terminal
from serving.cli.opening import open_costs, open_spans
from serving.cli.options import STACK, Json, Stack, load_stack

Last = Annotated[int, typer.Option(min=1, help="Number of recent requests to include.")]


def traces(
    *,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of rows.")] = 20,
    every: Annotated[bool, typer.Option("--all", help="Include reads (GET) and refused requests (4xx).")] = False,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """List the latest requests."""
    from extensions.reports import triage

    latest = triage.latest(open_spans(load_stack(stack).settings), limit, every=every)
    if not terminal.write_json(json, [asdict(row) | {"at": row.at.isoformat(timespec="seconds")} for row in latest]):
        terminal.show_rows(
            latest,
            "trace | at (UTC) | name | ms | tenant | answer | failed",
            "{.trace_id:.12} | {.at:%Y-%m-%d %H:%M} | {.name} | {.ms:.0f} | {.tenant} | {.answer} | {.failed}",
        )
        if not every:
            terminal.console().print(
                "\n[dim]Without requests that only looked (GET) or were refused (4xx): ALL=1 shows them.[/]"
            )


def slow(
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of rows.")] = 10,
    last: Last = 500,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Show the slowest requests, and the time in each layer."""
    from extensions.reports import triage

    store = open_spans(load_stack(stack).settings)
    traces, layers = triage.slow(store, limit=limit, look_at=last)
    if not terminal.write_json(json, {"traces": [asdict(row) for row in traces], "layers": [*map(asdict, layers)]}):
        terminal.show_rows(
            traces,
            "trace | name | ms | most of it in | ms | longest by itself | ms",
            "{.trace_id:.12} | {.name} | {.ms:.0f} | {.layer} | {.layer_ms:.0f} | {.span} | {.span_ms:.0f}",
        )
        terminal.show("")
        layer_cells = "{.layer} | {.p50_ms:.1f} | {.p95_ms:.1f} | {.share:.0%}"
        terminal.show_rows(layers, "layer | p50 ms | p95 ms | share", layer_cells)
        terminal.console().print(f"\n{triage.looked_at(store, last)}")


def failures(last: Last = 500, json: Json = None, stack: Stack = STACK) -> None:
    """Group failed requests by where they began."""
    from extensions.reports import triage

    store = open_spans(load_stack(stack).settings)
    groups, statuses = triage.failures(store, look_at=last)
    if not terminal.write_json(
        json, {"failures": [asdict(group) for group in groups], "answers_without_one": statuses}
    ):
        if groups:
            cells = "{.where} | {.layer} | {.error} | {.traces} | {.latest:.12}"
            terminal.show_rows(groups, "began in | layer | error | requests | latest", cells)
        else:
            terminal.console().print("No request failed.")
        counts = ", ".join(f"{count} {status}" for status, count in statuses.items()) or "none"
        terminal.console().print(f"\nAnswers that left a person without one: {counts}")
        terminal.console().print(triage.looked_at(store, last))


def forecast(json: Json = None, stack: Stack = STACK) -> None:
    """Forecast the cost of the next 30 days."""
    from extensions.reports import forecast as forecasts

    with open_costs(load_stack(stack).settings) as ledger:
        days = ledger.totals("day")
    expected = forecasts.forecast(
        {date.fromisoformat(day.key): float(day.usd) for day in days},
        today=SystemClock().now().date(),
        unpriced=sum(day.unpriced for day in days),
    )
    if not terminal.write_json(json, expected.as_dict()):
        terminal.show(expected.table())

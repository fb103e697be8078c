"""`sixply traces`, `trace`, `slow`, `failures`, `costs` and `forecast`: what happened, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from foundation.clock import SystemClock
from foundation.errors import InvalidRequest, NotFound, did_you_mean
from serving.cli import terminal
from serving.cli.options import STACK, Json, Last, Stack, load_stack

if TYPE_CHECKING:
    from serving.settings import Loaded


def traces(
    *,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    every: Annotated[
        bool, typer.Option("--all", help="Also those that only looked (GET) or were refused (4xx).")
    ] = False,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """The latest answers, searches, writes and what broke."""
    from observability.reports import triage
    from observability.stores.spans import SpanStore

    loaded = load_stack(stack)
    latest = triage.latest(SpanStore(_file(loaded, "spans.sqlite")), limit, every=every)
    if not terminal.write_json(json, [_fields(row) for row in latest]):
        terminal.show_table(
            ["trace", "at (UTC)", "name", "ms", "tenant", "answer", "failed"],
            [
                (row.trace_id[:12], f"{row.at[:10]} {row.at[11:19]}", row.name, f"{row.ms:.0f}", row.tenant, row.answer,
                 row.failed)
                for row in latest
            ],
        )  # fmt: skip
        if not every:
            terminal.console().print(
                "\n[dim]Without requests that only looked (GET) or were refused (4xx): ALL=1 shows them.[/]"
            )


def trace(
    trace_id: Annotated[str, typer.Argument(metavar="ID", help="A trace id, its first digits, or last.")],
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """One request's spans, its bill by layer, and what the audit has of it."""
    from observability.reports import trace_tables
    from observability.reports.layer_bill import layer_bill
    from observability.stores.spans import SpanStore
    from orchestration.effects.audit import of_trace

    loaded = load_stack(stack)
    store = SpanStore(_file(loaded, "spans.sqlite"))
    if trace_id == "last":
        latest = store.last_answer()
        if latest is None:
            raise NotFound('No answer has been traced yet. Ask something first: make ask Q="..."')
        trace_id = latest
    spans = store.trace(trace_id)
    with _costs(loaded) as costs:
        bill = layer_bill(spans, costs.of_trace(spans[0].trace_id))
    records = of_trace(_file(loaded, "audit.sqlite"), spans[0].trace_id)
    audit = [{"at": at, **record.model_dump(mode="json")} for at, record in records]
    if not terminal.write_json(
        json, {"bill": bill.as_dict(), "spans": [_fields(span) for span in spans], "audit": audit}
    ):
        terminal.show(trace_tables.trace_table(spans))
        terminal.show("")
        terminal.show(trace_tables.bill_table(bill))
        terminal.show("")
        terminal.show_table(
            ["audit (UTC)", "act", "tool", "outcome", "reason", "asked by", "decided by"],
            [
                (f"{at[:19]}", one.act, one.tool, one.outcome, one.reason, one.subject, one.decided_by or "")
                for at, one in records
            ],
        )


def slow(
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
    last: Last = 500,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """The slowest of the latest requests, and what each layer takes."""
    from observability.reports import triage
    from observability.stores.spans import SpanStore

    loaded = load_stack(stack)
    store = SpanStore(_file(loaded, "spans.sqlite"))
    traces, layers = triage.slow(store, limit=limit, look_at=last)
    if not terminal.write_json(json, {"traces": [_fields(row) for row in traces], "layers": [*map(_fields, layers)]}):
        terminal.show_table(
            ["trace", "name", "ms", "most of it in", "ms", "longest by itself", "ms"],
            [
                (
                    row.trace_id[:12],
                    row.name,
                    f"{row.ms:.0f}",
                    row.layer,
                    f"{row.layer_ms:.0f}",
                    row.span,
                    f"{row.span_ms:.0f}",
                )
                for row in traces
            ],
        )
        terminal.show("")
        terminal.show_table(
            ["layer", "p50 ms", "p95 ms", "share"],
            [(row.layer, f"{row.p50_ms:.1f}", f"{row.p95_ms:.1f}", f"{row.share:.0%}") for row in layers],
        )
        terminal.console().print(f"\n{triage.looked_at(store, last)}")


def failures(last: Last = 500, json: Json = None, stack: Stack = STACK) -> None:
    """How the latest requests failed, and where it began."""
    from observability.reports import triage
    from observability.stores.spans import SpanStore

    loaded = load_stack(stack)
    store = SpanStore(_file(loaded, "spans.sqlite"))
    groups, statuses = triage.failures(store, look_at=last)
    if not terminal.write_json(
        json, {"failures": [_fields(group) for group in groups], "answers_without_one": statuses}
    ):
        if groups:
            terminal.show_table(
                ["began in", "layer", "error", "requests", "latest"],
                [(group.where, group.layer, group.error, group.traces, group.latest[:12]) for group in groups],
            )
        else:
            terminal.console().print("No request failed.")
        counts = ", ".join(f"{count} {status}" for status, count in statuses.items()) or "none"
        terminal.console().print(f"\nAnswers that left a person without one: {counts}")
        terminal.console().print(triage.looked_at(store, last))


def costs(
    by: Annotated[str, typer.Option(help="tenant, model, layer, kind, day or outcome.")] = "layer",
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Money spent."""
    from observability.reports import trace_tables
    from observability.stores.costs import By, by_outcome
    from observability.stores.outcomes import OutcomeStore

    loaded = load_stack(stack)
    groupings = [*get_args(By), "outcome"]
    if by not in groupings:
        raise InvalidRequest(f'Costs cannot be summed by "{by}". {did_you_mean(by, groupings)}')
    with _costs(loaded) as ledger:
        if by == "outcome":
            with closing(OutcomeStore(_file(loaded, "outcomes.sqlite"))) as outcomes:
                totals = by_outcome(ledger, {row.answer_id: row.verdict for row in outcomes.all()})
        else:
            totals = ledger.totals(cast("By", by))
    if not terminal.write_json(json, [_fields(row) for row in totals]):
        terminal.show(trace_tables.totals_table(totals, by))


def forecast(json: Json = None, stack: Stack = STACK) -> None:
    """What the next 30 days will cost, from the days so far."""
    from observability.reports import forecast as forecasts

    loaded = load_stack(stack)
    with _costs(loaded) as ledger:
        days = ledger.totals("day")
    expected = forecasts.forecast(
        {date.fromisoformat(day.key): float(day.usd) for day in days},
        today=SystemClock().now().date(),
        unpriced=sum(day.unpriced for day in days),
    )
    if not terminal.write_json(json, expected.as_dict()):
        terminal.show(expected.table())


def _fields(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in type(row).__slots__}


def _file(loaded: Loaded, name: str) -> Path:
    return loaded.settings.foundation.data_dir / name


@contextmanager
def _costs(loaded: Loaded) -> Iterator[Any]:
    from observability.stores.costs import CostLedger

    path = _file(loaded, "costs.sqlite")
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(CostLedger(path)) as ledger:
        yield ledger

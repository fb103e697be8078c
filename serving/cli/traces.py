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
    found = triage.latest(SpanStore(_file(loaded, "spans.sqlite")), limit, every=every)
    if not terminal.write_json(json, [_fields(one) for one in found]):
        terminal.show_table(
            ["trace", "at (UTC)", "name", "ms", "tenant", "answer", "failed"],
            [
                (one.trace_id[:12], f"{one.at[:10]} {one.at[11:19]}", one.name, f"{one.ms:.0f}", one.tenant, one.answer,
                 one.failed)
                for one in found
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
    told = [{"at": at, **record.model_dump(mode="json")} for at, record in records]
    if not terminal.write_json(
        json, {"bill": bill.as_dict(), "spans": [_fields(span) for span in spans], "audit": told}
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
    if not terminal.write_json(json, {"traces": [_fields(one) for one in traces], "layers": [*map(_fields, layers)]}):
        terminal.show_table(
            ["trace", "name", "ms", "most of it in", "ms", "longest by itself", "ms"],
            [
                (
                    one.trace_id[:12],
                    one.name,
                    f"{one.ms:.0f}",
                    one.layer,
                    f"{one.layer_ms:.0f}",
                    one.span,
                    f"{one.span_ms:.0f}",
                )
                for one in traces
            ],
        )
        terminal.show("")
        terminal.show_table(
            ["layer", "p50 ms", "p95 ms", "share"],
            [(one.layer, f"{one.p50_ms:.1f}", f"{one.p95_ms:.1f}", f"{one.share:.0%}") for one in layers],
        )
        terminal.console().print(f"\n{triage.looked_at(store, last)}")


def failures(last: Last = 500, json: Json = None, stack: Stack = STACK) -> None:
    """How the latest requests failed, and where it began."""
    from observability.reports import triage
    from observability.stores.spans import SpanStore

    loaded = load_stack(stack)
    store = SpanStore(_file(loaded, "spans.sqlite"))
    found, statuses = triage.failures(store, look_at=last)
    if not terminal.write_json(json, {"failures": [_fields(one) for one in found], "answers_without_one": statuses}):
        if found:
            terminal.show_table(
                ["began in", "layer", "error", "requests", "latest"],
                [(one.where, one.layer, one.error, one.traces, one.latest[:12]) for one in found],
            )
        else:
            terminal.console().print("No request failed.")
        said = ", ".join(f"{count} {status}" for status, count in statuses.items()) or "none"
        terminal.console().print(f"\nAnswers that left a person without one: {said}")
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
    known = [*get_args(By), "outcome"]
    if by not in known:
        raise InvalidRequest(f'Costs cannot be summed by "{by}". {did_you_mean(by, known)}')
    with _costs(loaded) as ledger:
        if by == "outcome":
            with closing(OutcomeStore(_file(loaded, "outcomes.sqlite"))) as outcomes:
                totals = by_outcome(ledger, {one.answer_id: one.verdict for one in outcomes.all()})
        else:
            totals = ledger.totals(cast("By", by))
    if not terminal.write_json(json, [_fields(one) for one in totals]):
        terminal.show(trace_tables.totals_table(totals, by))


def forecast(json: Json = None, stack: Stack = STACK) -> None:
    """What the next 30 days will cost, from the days so far."""
    from observability.reports import forecast as forecasts

    loaded = load_stack(stack)
    with _costs(loaded) as ledger:
        days = ledger.totals("day")
    found = forecasts.forecast(
        {date.fromisoformat(one.key): float(one.usd) for one in days},
        today=SystemClock().now().date(),
        unpriced=sum(one.unpriced for one in days),
    )
    if not terminal.write_json(json, found.as_dict()):
        terminal.show(found.table())


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

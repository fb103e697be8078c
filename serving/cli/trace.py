"""`sixply trace` and `costs`: the trace of an answer, and money spent."""

from dataclasses import asdict
from typing import Annotated, cast, get_args

import typer

from foundation.errors import InvalidRequest, NotFound, did_you_mean
from serving.cli import terminal
from serving.cli.opening import open_costs, open_hooks, open_spans
from serving.cli.options import STACK, Json, Stack, load_stack


def trace(
    trace_id: Annotated[str, typer.Argument(metavar="ID", help="A trace id, its first digits, or last.")],
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Show what happened in one request: steps, times, costs, and what extensions add to it."""
    from observability.reports import layer_bill, trace_tables
    from serving.hooks import Place

    settings = load_stack(stack).settings
    store = open_spans(settings)
    if trace_id == "last":
        latest = store.last_answer()
        if latest is None:
            raise NotFound('No answer has been traced yet. Ask something first: make ask Q="..."')
        trace_id = latest
    spans = store.trace(trace_id)
    with open_costs(settings) as costs:
        charges = list(costs.of_trace(spans[0].trace_id))
    bill = layer_bill.layer_bill(spans, charges)
    with open_hooks(settings) as hooks:
        panels = [(panel, panel.read(spans[0].trace_id)) for panel in hooks.panels if panel.place is Place.TRACE]
    known = {panel.name: rows for panel, rows in panels}
    if not terminal.write_json(json, {"bill": bill.as_dict(), "spans": [asdict(span) for span in spans]} | known):
        terminal.show(trace_tables.trace_table(spans))
        terminal.show("")
        terminal.show(layer_bill.bill_table(bill))
        for panel, rows in panels:
            if rows:
                terminal.show("")
                terminal.show_table(panel.columns, map(panel.cells, rows))


def costs(
    by: Annotated[str, typer.Option(help="Group by tenant, model, layer, kind or day.")] = "layer",
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Money spent."""
    from observability.reports import trace_tables
    from observability.stores.costs import By

    if by not in get_args(By):
        raise InvalidRequest(f'Costs cannot be summed by "{by}". {did_you_mean(by, get_args(By))}')
    with open_costs(load_stack(stack).settings) as ledger:
        totals = ledger.totals(cast("By", by))
    if not terminal.write_json(json, [asdict(row) for row in totals]):
        terminal.show(trace_tables.totals_table(totals, by))

"""How an answer was made: its plan, its trace as a waterfall, and the bill by layer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import html

from extensions.page.session import Visitor, show_errors
from foundation.errors import NotFound
from observability.reports.layer_bill import Bill, layer_bill
from observability.reports.trace_tables import usd
from observability.stores.spans import SpanRow, tree
from orchestration.events import Answer
from serving.cli.terminal import HOW, format_price

NUMBERS = ("ms", "US dollars")


class Making:
    """A line under an answer that opens on a click."""

    def __init__(
        self, trace_id: str | None, visitor: Visitor, *, says: str, plan: Mapping[str, Any] | None = None
    ) -> None:
        self._trace_id = trace_id
        self._visitor = visitor
        self._says = says
        self._plan = plan
        self._filled = False

    @classmethod
    def of(cls, answer: Answer, visitor: Visitor) -> Making:
        source = f" · given before ({answer.cached})" if answer.cached else ""
        by = f" by {answer.written_by}" if answer.written_by else ""
        how = f"{HOW[answer.path]}{by} · " if HOW[answer.path] else ""
        says = f"{how}{answer.seconds:.2f} s · {format_price(answer.cost_usd)}{source}"
        return cls(answer.trace_id, visitor, says=says, plan=answer.plan)

    def build(self) -> None:
        with html.details().classes("making").on("toggle", self._fill):
            with html.summary():
                html.span("How it was made")
                html.span(self._says).classes("dim")
            self._place = html.div()

    async def _fill(self) -> None:
        if self._filled:
            return
        self._filled = True
        with self._place, show_errors():
            if self._plan:
                _plan(self._plan)
            if spans := await asyncio.to_thread(self._spans):
                _waterfall(spans)
                charges = await asyncio.to_thread(self._visitor.system.observability.costs.of_trace, spans[0].trace_id)
                _bill(layer_bill(spans, charges))
            else:
                html.p("No trace of it is stored here.").classes("dim")

    def _spans(self) -> list[SpanRow]:
        if self._trace_id is None:
            return []
        system = self._visitor.system
        system.observability.telemetry.flush()
        try:
            return system.observability.spans.trace(self._trace_id)
        except NotFound:
            return []


def _plan(plan: Mapping[str, Any]) -> None:
    html.h3("Plan")
    html.p(f"{plan['route'].replace('_', ' ')}, by {plan['made_by']}: {plan['reason']}").classes("dim")
    with html.ol().classes("steps"):
        for step in plan["steps"]:
            with html.li().classes(step["outcome"]):
                html.b(f"{step['kind']} {step['tool']}".replace("_", " ").strip())
                html.span(step["ask"])
                html.span(f"{step['outcome']} {step['detail']}".strip()).classes("dim")
    for change in plan["changes"]:
        html.p(f"Changed: {change}").classes("dim")


def _waterfall(spans: Sequence[SpanRow]) -> None:
    start_ns = min(span.start_ns for span in spans)
    whole = max(span.end_ns for span in spans) - start_ns or 1
    html.h3("Trace")
    with html.div().classes("scroll"), html.table().classes("waterfall"):
        _head("What", "Layer", "ms", "When")
        with html.tbody():
            for root in tree(spans):
                for depth, span in root.walk():
                    with html.tr().classes("bad" if span.status == "error" else ""):
                        html.th(span.name).props("scope=row").style(f"padding-left: {0.25 + depth * 0.75:.2f}rem")
                        html.td(span.layer or "").classes("dim")
                        html.td(f"{span.ms:.1f}").classes("number")
                        at, long = (span.start_ns - start_ns) / whole, (span.end_ns - span.start_ns) / whole
                        _bar(span.layer or "", at=at, long=max(0.004, long))


def _bar(layer: str, *, at: float, long: float) -> None:
    with html.td().classes("when"):
        html.i().classes(f"bar-of {layer}").style(f"left: {100 * at:.2f}%; width: {100 * long:.2f}%")


def _bill(bill: Bill) -> None:
    html.h3("Bill by layer")
    with html.div().classes("scroll"), html.table().classes("bill"):
        _head("Layer", "ms", "Share", "US dollars")
        with html.tbody():
            for share in bill.shares:
                with html.tr():
                    html.th(share.layer).props("scope=row")
                    html.td(f"{share.ms:.1f}").classes("number")
                    _bar(share.layer, at=0, long=share.ns / bill.ns if bill.ns else 0)
                    html.td(usd(share.usd)).classes("number")
        with html.tfoot(), html.tr():
            html.th("Whole").props("scope=row")
            html.td(f"{bill.ms:.1f}").classes("number")
            html.td(f"{bill.unpriced} unpriced" if bill.unpriced else "")
            html.td(usd(bill.usd)).classes("number")
    if bill.trace_id:
        with html.p().classes("dim"):
            html.span("Trace ")
            html.code(bill.trace_id)


def _head(*names: str) -> None:
    with html.thead(), html.tr():
        for name in names:
            html.th(name).classes("number" if name in NUMBERS else "").props("scope=col")

"""Traces, bills and totals as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext

from rich.markup import escape
from rich.table import Table

from foundation import names
from observability.rendering import formatting
from observability.stores.costs import EXACT, Total
from observability.stores.spans import SpanRow, tree

BAR = 24


def trace_table(rows: Sequence[SpanRow]) -> Table:
    """Return a trace as an indented tree: name, milliseconds, when it ran, layer, tokens in and out."""
    table = formatting.grid(("span", "ms", "when", "layer", "tokens"), right=("ms", "tokens"), no_wrap=True)
    for root in tree(rows):
        start, whole = root.span.start_ns, max(1, root.span.end_ns - root.span.start_ns)
        for depth, span in root.walk():
            name = f"{'  ' * depth}{escape(span.name)}"
            tokens = span.attribute(names.INPUT_TOKENS), span.attribute(names.OUTPUT_TOKENS)
            if before := span.attribute(names.STEPS_BEFORE):
                name += f" [dim]goes on behind {escape(before)}[/]"
            table.add_row(
                f"[red]{name} (failed)[/]" if span.status == "error" else name,
                f"{span.ms:.1f}",
                f"[cyan]{bar((span.start_ns - start) / whole, (span.end_ns - start) / whole)}[/]",
                span.layer or "",
                "" if tokens == (None, None) else f"{tokens[0] or 0} + {tokens[1] or 0}",
            )
    return table


def bar(begin: float, end: float) -> str:
    """Draw a stretch of time within the whole; `begin` and `end` are fractions from 0 to 1.

    >>> bar(0.5, 1.0)
    '············━━━━━━━━━━━━'
    """
    first = min(BAR - 1, max(0, round(begin * BAR)))
    last = min(BAR, max(first + 1, round(end * BAR)))
    return "·" * first + "━" * (last - first) + "·" * (BAR - last)


def totals_table(totals: Sequence[Total], by: str) -> Table:
    """Return sums of the cost ledger: days in order, anything else the most expensive first."""
    numbers = ("calls", "USD", "unpriced", "seconds", "tokens")
    table = formatting.grid((by, *numbers), right=numbers, no_wrap=True)
    sums = ("calls", "unpriced", "seconds", "input_tokens", "output_tokens")
    with localcontext(EXACT):
        usd_in_all = sum((total.usd for total in totals), Decimal(0))
    whole = Total("whole", usd_in_all, *(sum(getattr(total, name) for total in totals) for name in sums))
    for row in [*(sorted(totals, key=lambda total: total.key) if by == "day" else totals), whole]:
        money, tokens = _money(row.usd, row.unpriced, row.calls), f"{row.input_tokens} + {row.output_tokens}"
        cells = escape(row.key), str(row.calls), money, str(row.unpriced), f"{row.seconds:.2f}", tokens
        table.add_row(*cells, style="bold" if row is whole else None)
    return table


def _money(amount: Decimal, unpriced: int, calls: int) -> str:
    if not unpriced:
        return usd(amount)
    return "unpriced" if unpriced == calls else f"> {usd(amount)}"


def usd(amount: Decimal) -> str:
    """Format dollars to the hundredth of a micro-dollar, enough for one local call.

    >>> usd(Decimal("0.0000123456"))
    '0.00001235'
    """
    return f"{amount:.8f}"

"""The layer bill: the milliseconds and the money that each of the six layers took for one answer, which both add up exactly."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any

from foundation import names
from foundation.types import LAYERS, Layer
from observability.stores.costs import EXACT
from observability.stores.spans import SpanNode, SpanRow, tree

if TYPE_CHECKING:  # it imports frameworks, and a report must be fast
    from rich.table import Table

    from orchestration.events import Charge

# Layer of the time that no span claims: whatever was around the request
OUTSIDE: Layer = "serving"
# Prefix of a price's basis for the time of our own machine
LOCAL_BASIS = "local compute"


@dataclass(frozen=True, slots=True)
class LayerShare:
    """One row of the bill."""

    layer: Layer
    ns: int
    usd: Decimal
    spans: int

    @property
    def ms(self) -> float:
        return self.ns / 1e6


@dataclass(frozen=True, slots=True)
class Bill:
    """One row per layer, in their order, and the totals."""

    shares: tuple[LayerShare, ...]
    ns: int
    """Duration of the request."""
    usd: Decimal
    """Sum of the priced charges."""
    unpriced: int
    """Charges of unknown price: the true cost is higher than `usd`."""
    trace_id: str | None = None
    prompts: tuple[str, ...] = ()
    """Name, version and digest of each prompt in use."""
    read_tokens: int = 0
    """Tokens that chat models read."""
    cached_tokens: int | None = None
    """Those of them that came from a provider's cache of prompts; `None`: no provider said."""

    @property
    def ms(self) -> float:
        return self.ns / 1e6

    def share(self, layer: Layer) -> LayerShare:
        return next(share for share in self.shares if share.layer == layer)

    @property
    def exact(self) -> bool:
        """Whether the rows add up to the totals, to the nanosecond and to the last digit."""
        with localcontext(EXACT):
            money = sum((share.usd for share in self.shares), Decimal(0))
        return sum(share.ns for share in self.shares) == self.ns and money == self.usd

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; money as decimal strings."""
        layers = {
            share.layer: {"ms": share.ms, "usd": f"{share.usd.normalize(EXACT):f}", "spans": share.spans}
            for share in self.shares
        }
        usd = f"{self.usd.normalize(EXACT):f}"
        whole = {"ms": self.ms, "usd": usd, "unpriced": self.unpriced, "adds_up": self.exact}
        tokens = {"read": self.read_tokens, "cached": self.cached_tokens}
        parts = {"layers": layers, "total": whole, "tokens": tokens, "prompts": list(self.prompts)}
        return {"trace_id": self.trace_id, **parts}


def layer_bill(spans: Sequence[SpanRow], charges: Iterable[Charge]) -> Bill:
    """Return the bill of one trace. Without spans, all money is charged to the layers of the charges."""
    acts, charges = _acts(spans), list(charges)
    ns, count = Counter[Layer](), Counter[Layer]()
    for act in acts:
        spans_of_act: list[_Open] = []
        _clip(act, None, spans_of_act)
        _sweep(spans_of_act, ns)
        count.update(span.layer for span in spans_of_act)
    usd, unpriced = _money(charges, ns)
    shares = tuple(LayerShare(layer, ns[layer], usd[layer], count[layer]) for layer in LAYERS)
    with localcontext(EXACT):
        whole = sum(usd.values(), Decimal(0))
    duration = sum(max(0, act.span.end_ns - act.span.start_ns) for act in acts)
    trace_id = acts[0].span.trace_id if acts else None
    prompts = {label for span in spans for label in str(span.attribute(names.PROMPTS) or "").split(", ") if label}
    used = [charge.usage for charge in charges if charge.kind == "chat"]
    cached = [usage.cached_input_tokens for usage in used if usage.cached_input_tokens is not None]
    return Bill(
        shares,
        duration,
        whole,
        unpriced,
        trace_id,
        tuple(sorted(prompts)),
        read_tokens=sum(usage.input_tokens or 0 for usage in used),
        cached_tokens=sum(cached) if cached else None,
    )


def _acts(spans: Sequence[SpanRow]) -> list[SpanNode]:
    # the longest root, with other roots (a lost parent, a detached task) below it, then agents that resumed after it had ended
    roots = [part for root in tree(spans) for part in _apart(root)]
    roots.sort(key=lambda node: (node.span.start_ns - node.span.end_ns, node.span.start_ns))
    if not roots:
        return []
    first, *others = roots
    later = [root for root in others if _went_on(root.span, first.span)]
    hung = [root for root in others if root not in later]
    return [SpanNode(first.span, (*first.children, *hung)), *later]


def _apart(node: SpanNode) -> Iterator[SpanNode]:
    later = [child for child in node.children if _went_on(child.span, node.span)]
    yield SpanNode(node.span, tuple(child for child in node.children if child not in later)) if later else node
    for child in later:
        yield from _apart(child)


def _went_on(span: SpanRow, first: SpanRow) -> bool:
    apart = span.start_ns >= first.end_ns or span.end_ns <= first.start_ns
    return apart and span.name.startswith(names.INVOKE_AGENT)


@dataclass(frozen=True, slots=True)
class _Open:
    layer: Layer
    parent: int | None
    start: int
    end: int


def _clip(node: SpanNode, parent: int | None, into: list[_Open]) -> None:
    span = node.span
    around = _Open(OUTSIDE, None, span.start_ns, max(span.start_ns, span.end_ns)) if parent is None else into[parent]
    # a span is cut to its parent: clocks of two processes differ
    start = min(max(around.start, span.start_ns), around.end)
    index = len(into)
    # a span without a layer takes its parent's
    into.append(_Open(span.layer or around.layer, parent, start, max(start, min(around.end, span.end_ns))))
    for child in node.children:
        _clip(child, index, into)


def _sweep(spans: Sequence[_Open], ns: Counter[Layer]) -> None:
    edges: dict[int, list[int]] = defaultdict(list)
    for index, span in enumerate(spans):
        if span.end > span.start:
            edges[span.start].append(index)
            edges[span.end].append(index)
    # a dictionary as a set that keeps its order
    now_open: dict[int, None] = {}
    before = 0
    for now in sorted(edges):
        # every instant belongs to the innermost open spans, which share it equally
        with_children = {spans[index].parent for index in now_open}
        layers = [spans[index].layer for index in now_open if index not in with_children]
        share_ns, remainder = divmod(now - before, len(layers) or 1)
        for position, layer in enumerate(layers):
            # the remainder goes to the first ones, so that the bill adds up to the nanosecond
            ns[layer] += share_ns + (position < remainder)
        for index in edges[now]:
            if index in now_open:
                del now_open[index]
            else:
                now_open[index] = None
        before = now


def _money(charges: Iterable[Charge], ns: Mapping[Layer, int]) -> tuple[dict[Layer, Decimal], int]:
    usd: dict[Layer, Decimal] = defaultdict(Decimal)
    unpriced = 0
    with localcontext(EXACT):
        machine = Decimal(0)
        for charge in charges:
            if charge.usd is None:
                unpriced += 1
            # the time of our own machine is spread by the time of each layer, once all is summed
            elif (charge.kind == "machine" or charge.basis.startswith(LOCAL_BASIS)) and any(ns.values()):
                machine += charge.usd
            else:
                usd[charge.layer] += charge.usd
        for layer, part in _spread(machine, ns).items():
            usd[layer] += part
    return usd, unpriced


def _spread(usd: Decimal, ns: Mapping[Layer, int]) -> dict[Layer, Decimal]:
    busy = {layer: time for layer, time in ns.items() if time}
    if not usd or not busy:
        return {}
    grain = Decimal("1e-15")
    parts = {layer: (usd * time / sum(busy.values())).quantize(grain) for layer, time in busy.items()}
    largest = max(busy, key=lambda layer: busy[layer])
    # it takes the rounding error, which it feels least
    parts[largest] += usd - sum(parts.values(), Decimal(0))
    return parts


def bill_table(bill: Bill) -> Table:
    """Return the six layers and the totals of a bill."""
    from rich.markup import escape

    from observability.rendering.formatting import grid
    from observability.reports.trace_tables import usd

    table = grid(("layer", "ms", "share", "USD", ""), right=("ms", "share", "USD"), no_wrap=True)
    for share in bill.shares:
        part = share.ns / bill.ns if bill.ns else 0.0
        table.add_row(share.layer, f"{share.ms:.1f}", f"{part:.0%}", usd(share.usd), "")
    missing = f"{bill.unpriced} charges have no known price" if bill.unpriced else ""
    money = f"> {usd(bill.usd)}" if bill.unpriced else usd(bill.usd)
    table.add_row("whole", f"{bill.ms:.1f}", "100%" if bill.ns else "", money, missing, style="bold")
    if bill.cached_tokens is not None and bill.read_tokens:
        share_cached = f"{bill.cached_tokens / bill.read_tokens:.0%}"
        found = f"{bill.cached_tokens:,} of {bill.read_tokens:,} tokens"
        table.add_row("from the provider's cache", "", share_cached, "", found, style="dim")
    if bill.prompts:
        table.add_row("prompts", "", "", "", escape(", ".join(bill.prompts)), style="dim")
    return table

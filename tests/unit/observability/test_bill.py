"""The bill by layer adds up to the whole, in time and money."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from foundation import names
from foundation.types import LAYERS, Layer, Usage
from observability.reports.layer_bill import bill_table, layer_bill
from observability.stores.spans import SpanRow
from orchestration.events import Charge

NOW = datetime(2026, 11, 25, tzinfo=UTC)
MS = 1_000_000


def span(span_id: str, parent_id: str | None, start_ms: float, end_ms: float, layer: Layer | None) -> SpanRow:
    return SpanRow("t", span_id, parent_id, span_id, int(start_ms * MS), int(end_ms * MS), layer=layer)


def charge(usd: str | None, *, layer: Layer = "models", kind: str = "chat", basis: str = "genai-prices 1") -> Charge:
    return Charge(
        layer=layer,
        kind=kind,
        part="p",
        model="m",
        usage=Usage(),
        seconds=0.0,
        usd=None if usd is None else Decimal(usd),
        basis=basis,
        tenant="acme",
        answer_id="a",
        trace_id="t",
        at=NOW,
    )


def ms(bill) -> dict[str, float]:
    return {share.layer: share.ms for share in bill.shares if share.ns}


def usd(bill) -> dict[str, Decimal]:
    return {share.layer: share.usd for share in bill.shares if share.usd}


def test_each_layer_gets_its_own_time_without_that_of_its_children():
    spans = [
        span("1", None, 0, 100, "serving"),
        span("2", "1", 10, 90, "orchestration"),
        span("3", "2", 20, 50, "retrieval"),
        span("4", "3", 30, 40, "models"),
    ]
    assert ms(layer_bill(spans, [])) == {"serving": 20, "orchestration": 50, "retrieval": 20, "models": 10}


def test_children_side_by_side_share_their_time():
    spans = [
        span("1", None, 0, 100, "orchestration"),
        span("2", "1", 0, 100, "models"),
        span("3", "1", 50, 100, "retrieval"),
    ]
    bill = layer_bill(spans, [])
    assert ms(bill) == {"models": 75, "retrieval": 25}
    assert bill.exact


def test_a_child_that_outlives_its_parent_counts_only_as_long_as_the_parent():
    spans = [
        span("1", None, 0, 100, "serving"),
        span("2", "1", 90, 500, "models"),
        span("3", "2", 400, 450, "retrieval"),
    ]
    assert ms(layer_bill(spans, [])) == {"serving": 90, "models": 10}


def test_a_span_of_no_layer_belongs_to_its_parent_and_a_root_of_no_layer_to_serving():
    spans = [span("1", None, 0, 100, None), span("2", "1", 0, 60, "models"), span("3", "2", 0, 60, None)]
    assert ms(layer_bill(spans, [])) == {"serving": 40, "models": 60}


def test_the_longest_root_is_the_request_and_lost_spans_hang_below_it():
    spans = [
        span("1", "caller", 0, 100, "serving"),
        span("2", "lost", 20, 30, "models"),
        span("9", None, 95, 140, "retrieval"),
    ]
    bill = layer_bill(spans, [])
    assert bill.ms == 100
    assert ms(bill) == {"serving": 85, "models": 10, "retrieval": 5}


def test_a_layer_without_spans_did_no_work():
    bill = layer_bill([span("1", None, 0, 1, "serving")], [])
    assert [share.layer for share in bill.shares] == list(LAYERS)
    assert {share.layer for share in bill.shares if not share.spans} == set(LAYERS) - {"serving"}
    assert bill.share("models").ms == 0.0


def test_a_billed_call_goes_to_its_layer_and_machine_time_to_those_who_took_it():
    spans = [span("1", None, 0, 100, "serving"), span("2", "1", 0, 75, "models")]
    charges = [
        charge("0.5", layer="orchestration"),
        charge("0.1", kind="machine", layer="orchestration"),
        charge("0.3", basis="local compute 0.10 USD/h"),
    ]
    bill = layer_bill(spans, charges)
    assert usd(bill) == {"orchestration": Decimal("0.5"), "models": Decimal("0.3"), "serving": Decimal("0.1")}
    assert bill.usd == Decimal("0.9")


def test_an_unpriced_charge_is_counted_and_never_zero():
    bill = layer_bill([span("1", None, 0, 100, "serving")], [charge(None), charge("0.2")])
    assert (bill.usd, bill.unpriced) == (Decimal("0.2"), 1)


def test_without_spans_the_money_still_adds_up():
    bill = layer_bill([], [charge("0.2"), charge("0.1", kind="machine", layer="orchestration")])
    assert (bill.ns, usd(bill)) == (0, {"models": Decimal("0.2"), "orchestration": Decimal("0.1")})
    assert bill.exact


def test_spans_that_are_each_others_parents_are_no_endless_loop():
    assert layer_bill([span("1", "2", 0, 9, "models"), span("2", "1", 0, 9, "models")], []).ns == 0


def test_the_bill_is_plain_values_for_json():
    bill = layer_bill([span("1", None, 0, 100, "models")], [charge("0.000001", kind="machine")])
    assert bill.as_dict()["layers"]["models"] == {"ms": 100.0, "usd": "0.000001", "spans": 1}
    assert bill.as_dict()["total"] == {"ms": 100.0, "usd": "0.000001", "unpriced": 0, "adds_up": True}


@st.composite
def any_spans(draw: st.DrawFn) -> list[SpanRow]:
    """Trees of any shape; children may lie outside of their parents, be empty, or have an unknown parent."""
    spans: list[SpanRow] = []
    for number in range(draw(st.integers(0, 14))):
        parents = [None, "lost", *(one.span_id for one in spans)]
        start, end = draw(st.integers(0, 60)), draw(st.integers(0, 60))
        layer = draw(st.sampled_from([None, *LAYERS]))
        spans.append(
            SpanRow("t", str(number), draw(st.sampled_from(parents)), "x", start, max(start, end), layer=layer)
        )
    return draw(st.permutations(spans))


any_charge = st.builds(
    charge,
    st.one_of(
        st.none(),
        st.decimals(0, 1000, places=18).map(str),
        st.fractions(0, 1).map(lambda f: str(Decimal(f.numerator) / f.denominator)),
    ),
    layer=st.sampled_from(LAYERS),
    kind=st.sampled_from(["chat", "embeddings", "machine"]),
    basis=st.sampled_from(["genai-prices 1", "local compute 0.10 USD/h"]),
)


@given(any_spans(), st.lists(any_charge, max_size=8))
def test_the_six_rows_always_add_up_to_the_whole(spans, charges):
    bill = layer_bill(spans, charges)
    roots = [one for one in spans if one.parent_id not in {other.span_id for other in spans}]
    assert bill.exact
    assert bill.ns == max((one.end_ns - one.start_ns for one in roots), default=0)
    assert bill.unpriced == sum(one.usd is None for one in charges)
    assert all(share.ns >= 0 for share in bill.shares)


@given(any_spans())
def test_no_layer_takes_longer_than_its_spans_together(spans):
    bill = layer_bill(spans, [])
    for share in bill.shares:
        if not any(one.layer is None for one in spans):
            assert share.ns <= sum(one.end_ns - one.start_ns for one in spans if one.layer == share.layer)


def test_the_bill_names_the_prompts_that_were_used():
    root = replace(span("1", None, 0, 10, "orchestration"), attributes={names.PROMPTS: "answer@1 aa, plan@1 bb"})
    bill = layer_bill([root, span("2", "1", 0, 5, "models")], [])
    assert bill.prompts == ("answer@1 aa", "plan@1 bb")
    assert bill.as_dict()["prompts"] == ["answer@1 aa", "plan@1 bb"]


def test_what_came_from_the_providers_cache_is_a_row_of_the_bill() -> None:
    used = [Usage(input_tokens=1_000, cached_input_tokens=900), Usage(input_tokens=1_000)]
    bill = layer_bill([span("a", None, 0, 1, "serving")], [replace(charge("0.1"), usage=usage) for usage in used])
    assert (bill.read_tokens, bill.cached_tokens) == (2_000, 900)
    assert "45%" in plain_text(bill_table(bill))
    assert layer_bill([], [replace(charge("0.1"), usage=Usage(input_tokens=5))]).cached_tokens is None


def plain_text(table: Table) -> str:
    console = Console(width=200, record=True, file=StringIO())
    console.print(table)
    return console.export_text()

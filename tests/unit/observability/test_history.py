"""What reports ask of the stores of spans and costs: a period of spans, and the cost of each answer."""

from __future__ import annotations

from decimal import Decimal

from foundation import names
from foundation.components import Context, load
from foundation.settings import Part
from observability.stores import history
from observability.stores.costs import CostLedger
from observability.stores.spans import SpanStore
from tests.doubles.spans import ended_spans
from tests.unit.observability.test_ledger import charge


def test_of_a_period_only_the_spans_with_one_of_the_attributes_are_read(data_dir):
    exporter = load("observability.exporters", Part(use="sqlite"), Context(data_dir=data_dir))
    for attributes in ({}, {names.STATUS: "answered"}, {names.CONFIDENCE: 0.5}, {names.TENANT: "north"}):
        exporter.export(ended_spans("root", attributes=attributes))
    exporter.shutdown()
    store = SpanStore(data_dir / "spans.sqlite")
    found = history.between(store, 0, 2**63 - 1, naming=(names.STATUS, names.CONFIDENCE))
    assert [span.attributes for span in found] == [{names.STATUS: "answered"}, {names.CONFIDENCE: 0.5}]
    second = found[1].start_ns
    assert history.between(store, 0, second, naming=[names.STATUS, names.CONFIDENCE]) == found[:1]
    assert history.between(store, second, 2**63 - 1, naming=[names.STATUS, names.CONFIDENCE]) == found[1:]


def test_each_answer_has_its_cost_and_none_where_a_price_is_missing(data_dir):
    ledger = CostLedger(data_dir / "costs.sqlite")
    ledger.record(charge("0.1"))
    ledger.record(charge("0.2"))
    ledger.record(charge("0.4", answer_id="a-2"))
    ledger.record(charge("9", answer_id=None))
    ledger.record(charge("0.1", answer_id="a-3"))
    ledger.record(charge(None, answer_id="a-3"))
    assert {answer: cost.usd for answer, cost in history.answers(ledger).items()} == {
        "a-1": Decimal("0.3"),
        "a-2": Decimal("0.4"),
        "a-3": None,
    }
    ledger.close()

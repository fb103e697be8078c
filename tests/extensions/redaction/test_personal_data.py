"""Personal data are found and replaced, and what only looks like it stays."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from extensions.redaction.personal_data import find, redact
from observability.settings import ObservabilitySettings
from observability.telemetry import setup

CAPTURED = ObservabilitySettings(capture_content=True)

# Numbers that their owners reserve for examples.
FOUND = {
    "EMAIL": "ada.lovelace+desk@mail.example.org",
    "URL": "https://example.org/users/7?tab=2",
    "SECRET": "sk-" + "a1B2" * 6,
    "IBAN": "GB82 WEST 1234 5698 7654 32",
    "CARD": "4111 1111 1111 1111",
    "SSN": "219-09-9999",
    "IP": "192.0.2.17",
    "MAC": "00:00:5e:00:53:01",
    "PHONE": "+44 20 7946 0958",
}
NOT_FOUND = {
    "an order number": "Order 2026-004417 of 3 units",
    "a card with a wrong check digit": "4111 1111 1111 1112",
    "an IBAN with wrong check digits": "GB83 WEST 1234 5698 7654 32",
    "a version": "released as 1.2.3.4.5",
    "a price": "It costs 1,234.50 or 12 345 678 a year",
    "a date and time": "2026-11-25 04:45:13",
    "an at sign": "10 pieces @ 4.50 each",
    "an impossible SSN": "000-12-3456",
    "an address that is none": "999.1.1.1",
}


@pytest.mark.parametrize("kind", FOUND)
def test_each_kind_is_found_and_replaced_where_it_stands(kind):
    assert redact(f"before {FOUND[kind]} after") == f"before [{kind}] after"


@pytest.mark.parametrize("what", NOT_FOUND)
def test_what_only_looks_like_it_stays(what):
    assert redact(NOT_FOUND[what]) == NOT_FOUND[what]


@given(st.lists(st.sampled_from([*FOUND.values(), *NOT_FOUND.values()]), max_size=5), st.text(max_size=30))
def test_redacting_twice_changes_nothing_more_and_spans_are_in_order_and_apart(parts, noise):
    text = noise.join(parts)
    spans = find(text)
    assert all(one.end <= other.start for one, other in itertools.pairwise(spans))
    once = redact(text)
    assert redact(once) == once


def test_content_that_was_asked_for_is_redacted_however_deep_it_lies():
    kept = InMemorySpanExporter()
    said = {"content": ["write to ada@example.com"], "score": 0.9}
    with setup.start(CAPTURED, [kept], manifest_id="m-1", clean=redact):
        for name in ("gen_ai.memory.records", "gen_ai.memory.query.text", "gen_ai.evaluation.explanation"):
            trace.get_tracer("someone's").start_span("search", attributes={name: said}).end()
            trace.get_tracer("someone's").start_span("search", attributes={name: "write to ada@example.com"}).end()
    spans = kept.get_finished_spans()
    assert len(spans) == 6
    for span in spans:
        assert "ada@example.com" not in str(span.attributes)
        assert "write to" in str(span.attributes)

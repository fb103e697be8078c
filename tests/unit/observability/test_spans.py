"""The span store lists and finds traces, and says what is wrong with a damaged file."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from foundation import names
from foundation.components import Context, load
from foundation.errors import InvalidRequest, NotFound, StoreUnavailable
from foundation.settings import Part
from observability.stores.spans import SpanRow, SpanStore, layer_of, row_of, tree
from tests.doubles.spans import ended_spans


def row(span_id: str, parent_id: str | None = None, start_ns: int = 0, end_ns: int = 10) -> SpanRow:
    return SpanRow("t" * 32, span_id, parent_id, f"span {span_id}", start_ns, end_ns)


@pytest.fixture
def stored(data_dir):
    """A store with three traces, each a root and a child."""
    exporter = load("observability.exporters", Part(use="sqlite"), Context(data_dir=data_dir))
    for name in ("first", "second", "third"):
        exporter.export(ended_spans(name, f"{name} child"))
    exporter.shutdown()
    return SpanStore(data_dir / "spans.sqlite")


def test_the_latest_traces_come_first_and_only_with_their_roots(stored):
    assert [span.name for span in stored.recent()] == ["third", "second", "first"]
    assert [span.name for span in stored.recent(1)] == ["third"]


def test_the_last_answer_is_where_an_agent_worked_last_and_not_what_a_start_embedded_beside_it(data_dir):
    exporter = load("observability.exporters", Part(use="sqlite"), Context(data_dir=data_dir))
    store = SpanStore(data_dir / "spans.sqlite")
    assert store.last_answer() is None
    exporter.export(ended_spans("POST /v1/answers", "invoke_agent graph"))
    exporter.export(ended_spans("embeddings double"))
    exporter.shutdown()
    found = store.last_answer()
    assert found is not None
    assert [span.name for span in store.trace(found)] == ["POST /v1/answers", "invoke_agent graph"]


def test_a_trace_is_found_by_its_first_digits(stored):
    whole = stored.recent(1)[0].trace_id
    assert [span.name for span in stored.trace(whole[:12])] == ["third", "third child"]
    assert stored.trace(whole.upper()) == stored.trace(whole)


def test_an_unknown_trace_is_not_found_and_the_recent_ones_are_named(stored):
    with pytest.raises(NotFound, match=stored.recent(1)[0].trace_id[:12]):
        stored.trace("0" * 32)


def test_a_beginning_of_several_traces_asks_for_more_digits(data_dir):
    exporter = load("observability.exporters", Part(use="sqlite"), Context(data_dir=data_dir))
    for _ in range(17):  # one more than there are first digits
        exporter.export(ended_spans("root"))
    exporter.shutdown()
    store = SpanStore(data_dir / "spans.sqlite")
    digits = [span.trace_id[0] for span in store.recent(50)]
    shared = next(digit for digit in digits if digits.count(digit) > 1)
    with pytest.raises(InvalidRequest, match="Give more digits"):
        store.trace(shared)


@pytest.mark.parametrize("text", ["", "  ", "xyz", "12%", "' OR 1=1"])
def test_what_is_no_trace_id_is_said_to_be_none(stored, text):
    with pytest.raises(InvalidRequest, match="no trace id"):
        stored.trace(text)


def test_an_absent_file_is_an_empty_store(data_dir):
    store = SpanStore(data_dir / "spans.sqlite")
    assert store.recent() == []
    with pytest.raises(NotFound, match="Recent: none"):
        store.trace("ab")
    assert not (data_dir / "spans.sqlite").exists()


def test_a_damaged_file_says_what_to_do(data_dir):
    (data_dir / "spans.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreUnavailable, match="delete it"):
        SpanStore(data_dir / "spans.sqlite").recent()


def test_a_tree_has_children_in_the_order_of_their_start():
    rows = [row("c", "a", 5, 6), row("b", "a", 1, 2), row("a", None, 0, 9), row("d", "b", 1, 2)]
    (root,) = tree(rows)
    assert [(depth, span.span_id) for depth, span in root.walk()] == [(0, "a"), (1, "b"), (2, "d"), (1, "c")]


def test_a_span_of_a_caller_elsewhere_is_a_root():
    assert [node.span.span_id for node in tree([row("a", "elsewhere"), row("b", "a")])] == ["a"]


@pytest.mark.parametrize(
    ("attributes", "layer"),
    [
        ({names.LAYER: "retrieval", names.OPERATION: "chat"}, "retrieval"),
        ({names.LAYER: "cellar"}, None),
        ({names.OPERATION: names.CHAT}, "models"),
        ({names.OPERATION: names.EMBEDDINGS}, "models"),
        ({names.OPERATION: names.RERANK}, "models"),
        ({names.OPERATION: names.RETRIEVAL}, "retrieval"),
        ({names.OPERATION: names.INVOKE_AGENT}, "orchestration"),
        ({names.OPERATION: names.EXECUTE_TOOL}, "orchestration"),
        ({names.OPERATION: names.PLAN}, "orchestration"),
        ({names.OPERATION: "unheard_of"}, None),
        ({}, None),
    ],
)
def test_the_layer_is_what_a_span_says_or_what_its_operation_tells(attributes, layer):
    (span,) = ended_spans("x", attributes=attributes)
    assert layer_of(span) == layer


def test_a_server_span_and_what_the_web_framework_adds_belong_to_serving():
    provider = TracerProvider(shutdown_on_exit=False)
    server = provider.get_tracer("anything").start_span("POST /v1/answers", kind=SpanKind.SERVER)
    inside = provider.get_tracer("fastapi").start_span("fastapi.endpoint")
    assert (layer_of(server), layer_of(inside)) == ("serving", "serving")


def test_a_span_that_has_not_ended_has_no_row():
    span = TracerProvider(shutdown_on_exit=False).get_tracer("x").start_span("open")
    with pytest.raises(InvalidRequest, match="has not ended"):
        row_of(span)

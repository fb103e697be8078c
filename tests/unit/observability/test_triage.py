from __future__ import annotations

import sqlite3

import pytest

from foundation import names
from observability.spans import COLUMNS, SCHEMA, SpanRow, SpanStore, values_of
from observability.triage import failures, slow

MS = 1_000_000


def row(trace, span, parent, start_ms, end_ms, **more):
    return SpanRow(trace, span, parent, more.pop("name", span), int(start_ms * MS), int(end_ms * MS), **more)


@pytest.fixture
def store(data_dir):
    def filled(*rows):
        path = data_dir / "spans.sqlite"
        with sqlite3.connect(path) as database:
            database.executescript(SCHEMA)
            marks = ", ".join("?" * len(COLUMNS))
            database.executemany(
                f"INSERT INTO spans ({', '.join(COLUMNS)}) VALUES ({marks})", [values_of(one) for one in rows]
            )
        database.close()
        return SpanStore(path)

    return filled


def test_the_slowest_request_stands_first_with_the_layer_and_the_span_that_took_its_time(store):
    traces, layers = slow(
        store(
            row("aa", "1", None, 0, 50, layer="serving"),
            row("bb", "1", None, 100, 300, layer="serving"),
            row("bb", "2", "1", 110, 290, layer="orchestration"),
            row("bb", "3", "2", 120, 200, layer="models", name="chat"),
            row("bb", "4", "2", 150, 280, layer="models", name="embeddings"),
        )
    )
    first = traces[0]
    assert (first.trace_id, first.ms, first.layer, first.layer_ms) == ("bb", 200, "models", 160)
    assert (first.span, first.span_ms) == ("embeddings", 130)
    assert {one.layer: one.share for one in layers}["models"] == pytest.approx(160 / 250)


def test_children_that_run_side_by_side_are_taken_off_their_parent_once(store):
    traces, _ = slow(
        store(
            row("aa", "1", None, 0, 100, layer="serving", name="root"),
            row("aa", "2", "1", 0, 40, layer="models"),
            row("aa", "3", "1", 10, 50, layer="models"),
        )
    )
    assert (traces[0].span, traces[0].span_ms) == ("root", 50)


def test_a_failure_is_counted_where_it_began_and_once_a_request(store):
    broken = {names.ERROR_TYPE: "UpstreamTimeout"}
    found, statuses = failures(
        store(
            row("aa", "1", None, 0, 50, status="error"),
            row("aa", "2", "1", 0, 40, status="error", name="chat m", layer="models", attributes=broken),
            row("aa", "3", "1", 41, 45, status="error", name="chat m", layer="models", attributes=broken),
            row("bb", "1", None, 60, 90, attributes={names.STATUS: "abstained"}),
            row("cc", "1", None, 91, 95, attributes={names.STATUS: "answered"}),
        )
    )
    assert [(one.where, one.layer, one.error, one.traces, one.latest) for one in found] == [
        ("chat m", "models", "UpstreamTimeout", 1, "aa")
    ]
    assert statuses == {"abstained": 1}


def test_an_empty_store_has_neither(data_dir):
    nothing = SpanStore(data_dir / "spans.sqlite")
    assert slow(nothing) == ([], [])
    assert failures(nothing) == ([], {})

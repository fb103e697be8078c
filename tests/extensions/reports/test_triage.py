"""Slow and failed requests are counted where they began."""

from __future__ import annotations

import sqlite3
from datetime import timedelta

import pytest

from extensions.reports.span_names import HTTP_METHOD, HTTP_STATUS
from extensions.reports.triage import failures, latest, looked_at, slow
from foundation import names
from observability.stores.spans import COLUMNS, SCHEMA, SpanRow, SpanStore, values_of

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


def test_a_caller_that_sends_slowly_does_not_make_a_request_slow(store):
    sent_slowly = {names.BODY_WAIT_SECONDS: 0.9}
    traces, layers = slow(
        store(
            row("aa", "1", None, 0, 1000, layer="serving", name="POST", attributes=sent_slowly),
            row("aa", "2", "1", 940, 990, layer="models", name="chat"),
            row("bb", "1", None, 2000, 2200, layer="serving"),
        )
    )
    assert [(one.trace_id, one.ms, one.layer, one.span, one.span_ms) for one in traces] == [
        ("bb", 200, "serving", "1", 200),
        ("aa", 100, "models", "chat", 50),
    ]
    assert {one.layer: one.share for one in layers}["serving"] == pytest.approx(250 / 300)


STREAM_LEFT = {HTTP_STATUS: 200, names.ERROR_TYPE: "ConnectionError"}
INTERRUPTED = {names.ERROR_TYPE: "KeyboardInterrupt"}


@pytest.mark.parametrize(
    ("end", "what"),
    [({HTTP_STATUS: 499}, "caller left"), (STREAM_LEFT, "caller left"), (INTERRUPTED, "interrupted")],
)
def test_what_a_person_ended_is_neither_slow_nor_a_failure(store, end, what):
    cancelled = {names.ERROR_TYPE: "CancelledError"}
    stored = store(
        row("aa", "1", None, 0, 9000, status="error", attributes=end),
        row("aa", "2", "1", 0, 8000, status="error", name=f"{names.INVOKE_AGENT} x", attributes=cancelled),
    )
    assert slow(stored) == ([], [])
    assert failures(stored) == ([], {})
    assert latest(stored, 1, every=True)[0].failed == what


def test_a_provider_that_cannot_be_reached_is_a_failure(store):
    stored = store(
        row("aa", "1", None, 0, 50, name="ingest", status="error", attributes={names.ERROR_TYPE: "ConnectionError"})
    )
    assert [failure.error for failure in failures(stored)[0]] == ["ConnectionError"]
    assert latest(stored, 1, every=True)[0].failed == "ConnectionError"


def test_an_agent_that_raised_left_a_person_without_an_answer(store):
    failed = {names.ERROR_TYPE: "foundation.errors.StoreUnavailable"}
    stored = store(
        row("aa", "1", None, 0, 50, name="POST"),  # a stream had begun, so its status is 200
        row("aa", "2", "1", 0, 40, status="error", name=f"{names.INVOKE_AGENT} x", attributes=failed),
    )
    found, statuses = failures(stored)
    assert [one.error for one in found] == ["StoreUnavailable"]
    assert statuses == {"failed": 1}
    assert latest(stored, 1)[0].answer == "failed"


def test_failures_before_a_day_are_not_counted(store):
    broken = {names.ERROR_TYPE: "UpstreamTimeout"}
    stored = store(row("aa", "1", None, 0, 50, status="error", attributes=broken))
    at = latest(stored, 1)[0].at
    assert len(failures(stored, since=at)[0]) == 1
    assert failures(stored, since=at + timedelta(seconds=1))[0] == []


def test_an_empty_store_has_neither(data_dir):
    nothing = SpanStore(data_dir / "spans.sqlite")
    assert slow(nothing) == ([], [])
    assert failures(nothing) == ([], {})


def test_the_latest_requests_say_when_whose_and_how_they_ended(store):
    stored = store(
        row(
            "aa",
            "1",
            None,
            0,
            50,
            name="POST /v1/answers",
            status="error",
            attributes={names.ERROR_TYPE: "UpstreamDown"},
        ),
        row("bb", "1", None, 60_000, 60_090, name="POST /v1/answers"),
        row("bb", "2", "1", 60_010, 60_020, attributes={names.TENANT: "north", names.STATUS: "waiting"}),
        row("bb", "3", "1", 60_030, 60_040, attributes={names.TENANT: "north", names.STATUS: "answered"}),
    )
    new, old = latest(stored, 5)
    assert (new.trace_id, new.at.isoformat(), new.ms) == ("bb", "1970-01-01T00:01:00+00:00", 90)
    assert (new.tenant, new.answer, new.failed) == ("north", "answered", "")
    assert (old.tenant, old.answer, old.failed) == ("", "", "UpstreamDown")
    assert latest(stored, 1) == [new]


def test_what_only_looked_or_was_refused_is_left_out_of_the_latest_requests_until_asked_for(store):
    def http(trace, method, status, at):
        told = {HTTP_METHOD: method, HTTP_STATUS: status}
        return row(trace, "1", None, at, at + 1, name=trace, attributes=told)

    stored = store(
        row("ingest", "1", None, 0, 1, name="ingest"), http("ask", "POST", 200, 2), http("list", "GET", 200, 3),
        http("stranger", "POST", 401, 4), http("broke", "GET", 503, 5), http("hit the limit", "POST", 429, 6),
    )  # fmt: skip
    assert [one.name for one in latest(stored, 2)] == ["broke", "ask"]
    assert [one.name for one in latest(stored, 9)] == ["broke", "ask", "ingest"]
    assert len(latest(stored, 9, every=True)) == 6


def test_it_is_said_which_requests_were_looked_at(store, data_dir):
    assert "latest 1 requests, since 1970-01-01 00:01 UTC" in looked_at(store(row("aa", "1", None, 60_000, 60_050)))
    (data_dir / "spans.sqlite").unlink()
    assert looked_at(SpanStore(data_dir / "spans.sqlite")) == "No request is stored yet."


def test_as_many_traces_as_are_asked_for_are_read(store):
    stored = store(*(row(f"{number:04x}", "1", None, number, number + 1 + number % 2) for number in range(1203)))
    traces, _ = slow(stored, limit=2000, look_at=2000)
    assert len(traces) == 1203

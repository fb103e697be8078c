"""What moved since last week: on stores whose truth is known."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extensions.drift.drift import FIGURES, Drift, drift
from extensions.feedback.store import Outcome
from extensions.reports.answers import read_answers
from extensions.reports.span_names import QUESTION_SIGNATURE
from foundation import names
from observability.evaluation.golden_set import GOLDEN_SET
from observability.stores.costs import CostLedger
from observability.stores.spans import COLUMNS, SCHEMA, SpanRow, SpanStore, values_of
from orchestration.events import Charge

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
Week = Callable[..., list[SpanRow]]


@pytest.fixture
def costs(tmp_path: Path) -> Iterator[CostLedger]:
    ledger = CostLedger(tmp_path / "costs.sqlite")
    yield ledger
    ledger.close()


def answers(days_ago: float, n: int, *, seed: int, **more: Any) -> list[SpanRow]:
    """`n` answered questions around one day, with the spans that drift reads."""
    random = np.random.default_rng(seed)
    status, sure, topic = more.get("status", "answered"), more.get("confidence", 0.7), more.get("topic", 0.0)
    rows = []
    for number in range(n):
        begin = int((NOW - timedelta(days=days_ago) + timedelta(minutes=number)).timestamp() * 1e9)
        trace = f"{seed:016x}{number:016x}"
        attributes = {
            names.OPERATION: names.INVOKE_AGENT,
            names.STATUS: status if number % 10 else "abstained",
            names.ANSWER_ID: trace,
            names.TENANT: more.get("tenant", "north"),
            QUESTION_SIGNATURE: [float(value) for value in random.normal(topic, 1, 8)],
        }
        graded = {names.CONFIDENCE: float(random.normal(sure, 0.05))}
        manifest = more.get("manifest", "m-1")
        rows += [
            SpanRow(
                trace, "a", None, "invoke_agent", begin, begin + 3 * 10**8, manifest_id=manifest, attributes=attributes
            ),
            SpanRow(trace, "b", "a", "grade", begin, begin + 10**6, manifest_id=manifest, attributes=graded),
        ]
    return rows


def found(tmp_path: Path, costs: CostLedger, rows: list[SpanRow], outcomes: list[Outcome] | None = None) -> Drift:
    return drift(stored(tmp_path, rows), costs, outcomes or [], now=NOW)


def stored(tmp_path: Path, rows: list[SpanRow]) -> SpanStore:
    path = tmp_path / "spans.sqlite"
    with sqlite3.connect(path) as database:
        database.executescript(SCHEMA)
        marks = ", ".join("?" * len(COLUMNS))
        database.executemany(f"INSERT INTO spans ({', '.join(COLUMNS)}) VALUES ({marks})", map(values_of, rows))
    database.close()
    return SpanStore(path)


def test_two_weeks_alike_have_not_moved(tmp_path: Path, costs: CostLedger) -> None:
    report = found(tmp_path, costs, answers(10, 120, seed=1) + answers(3, 120, seed=2))
    assert report.moved_figures == []
    assert report.figures["confidence"].verdict == "as before"
    assert (report.figures["confidence"].n_before, report.figures["confidence"].n_now) == (120, 120)
    assert report.figures["questions"].verdict == "as before"
    assert report.notes == ()
    assert report.conclusion == "nothing moved"
    assert (report.figures["answered"].n_now, report.figures["usd"].n_now) == (120, 0)


def test_a_week_in_which_retrieval_got_worse_shows_where(tmp_path: Path, costs: CostLedger) -> None:
    worse = answers(3, 60, seed=2, confidence=0.6) + answers(2, 60, seed=3, confidence=0.6, status="abstained")
    report = found(tmp_path, costs, answers(10, 120, seed=1) + worse)
    assert report.moved_figures == ["answered", "abstained", "confidence"]
    fell = report.figures["confidence"]
    assert fell.high is not None
    assert fell.high < 0
    assert report.figures["answered"].before == pytest.approx(0.9)


def test_other_questions_are_noticed(tmp_path: Path, costs: CostLedger) -> None:
    report = found(tmp_path, costs, answers(10, 100, seed=1) + answers(3, 100, seed=2, topic=0.7))
    assert report.moved_figures == ["questions"]


def test_chance_rarely_moves_anything(tmp_path: Path, costs: CostLedger) -> None:
    """Twenty pairs of equal weeks, three figures each: at 99 % less than one alarm, and four are far too many."""
    alarms = 0
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        rows = answers(10, 40, seed=100 + number) + answers(3, 40, seed=200 + number)
        alarms += len(found(folder, costs, rows).moved_figures)
    assert alarms < 4


def test_few_answers_say_nothing(tmp_path: Path, costs: CostLedger) -> None:
    report = found(tmp_path, costs, answers(10, 10, seed=1) + answers(3, 200, seed=2, confidence=0.1))
    assert report.moved_figures == []
    assert {one.verdict for one in report.figures.values()} == {"too few"}
    assert report.figures["questions"].verdict == "too few"
    assert report.conclusion == "nothing can be said: it takes 30 answers before and 30 now"


def test_an_empty_store_is_no_error(tmp_path: Path, costs: CostLedger) -> None:
    report = drift(SpanStore(tmp_path / "none.sqlite"), costs, [], now=NOW)
    assert report.moved_figures == []
    assert report.as_dict()["figures"].keys() == {*FIGURES, "questions"}


def test_what_people_said_is_counted(tmp_path: Path, costs: CostLedger) -> None:
    rows = answers(10, 60, seed=1) + answers(3, 60, seed=2)

    def said(row: SpanRow, verdict: Any) -> Outcome:
        return Outcome(str(row.attribute(names.ANSWER_ID)), verdict, NOW)

    agents = [row for row in rows if row.span_id == "a"]
    outcomes = [said(row, "accepted") for row in agents[:60]] + [said(row, "rejected") for row in agents[60:]]
    assert found(tmp_path, costs, rows, outcomes).moved_figures == ["accepted", "rejected"]


def test_the_questions_of_an_evaluation_are_no_traffic(tmp_path: Path, costs: CostLedger) -> None:
    people = answers(10, 60, seed=1) + answers(3, 60, seed=2)
    asked = answers(2, 190, seed=3, confidence=0.3, topic=3.0)
    paid: dict[str, Any] = {"usd": Decimal("0.001"), "basis": "double", "part": "p", "trace_id": None}
    for row in asked[::2]:
        answer_id, at = str(row.attribute(names.ANSWER_ID)), NOW - timedelta(days=2)
        costs.record(Charge(kind="chat", tenant="north", answer_id=answer_id, subject=GOLDEN_SET, at=at, **paid))
    report = found(tmp_path, costs, people + asked)
    assert report.moved_figures == []
    assert report.figures["answered"].n_now == 60


def test_new_parts_and_tenants_are_told(tmp_path: Path, costs: CostLedger) -> None:
    rows = answers(10, 40, seed=1) + answers(3, 40, seed=2, manifest="m-2", tenant="south")
    assert found(tmp_path, costs, rows).notes == (
        "new run manifest: m-2 (40 answers)",
        "run manifest no longer seen: m-1",
        "new tenant: south (40 answers)",
        "tenant no longer seen: north",
    )


def test_a_run_that_waited_for_a_person_is_one_answer(tmp_path: Path, costs: CostLedger) -> None:
    first, graded = answers(3, 2, seed=1, status="waiting")[2:]  # the second of them: each tenth abstains
    asked = first.attributes or {}
    later = first.start_ns + 3600 * 10**9
    second = replace(
        first, span_id="c", start_ns=later, end_ns=later + 10**8,
        attributes={name: value for name, value in asked.items() if name != QUESTION_SIGNATURE} | {names.STATUS: "answered"},
    )  # fmt: skip
    nameless = [replace(first, span_id=span, attributes=asked | {names.ANSWER_ID: None}) for span in ("d", "e")]
    store = stored(tmp_path, [first, graded, second, *nameless])
    since, until = NOW - timedelta(days=7), NOW
    one, *others = sorted(
        read_answers(store, costs, {}, since=since, until=until), key=lambda one: not one.values["answered"]
    )
    assert (one.at_ns, one.values["answered"], one.values["seconds"]) == (first.start_ns, 1.0, 0.4)
    assert one.signature == tuple(asked[QUESTION_SIGNATURE])
    assert len(others) == 2  # of an agent that names no answer: each span is one


def test_of_new_parts_it_says_what_is_different_from_those_that_ran_last(tmp_path: Path, costs: CostLedger) -> None:
    weeks = [(10, "m-0"), (9, "m-1"), (4, "m-1"), (3, "m-2")]
    rows = [row for seed, (day, manifest) in enumerate(weeks) for row in answers(day, 40, seed=seed, manifest=manifest)]

    def changed(before: str, now: str) -> list[str]:
        return [f"{before} to {now}"]

    report = drift(stored(tmp_path, rows), costs, [], now=NOW, changed=changed)
    assert report.notes[2:] == (
        "m-1, since 2026-11-16 12:00 UTC: m-0 to m-1",
        "m-2, since 2026-11-22 12:00 UTC: m-1 to m-2",
    )


def test_parts_that_came_before_the_last_days_are_told_too(tmp_path: Path, costs: CostLedger) -> None:
    weeks = [(13, "m-0"), (8, "m-1"), (3, "m-1"), (2, "m-0")]
    rows = [row for seed, (day, manifest) in enumerate(weeks) for row in answers(day, 40, seed=seed, manifest=manifest)]
    report = drift(stored(tmp_path, rows), costs, [], now=NOW, changed=lambda *ids: [" to ".join(ids)])
    assert report.notes == ("m-1, since 2026-11-17 12:00 UTC: m-0 to m-1",)

"""The cost ledger keeps charges exactly and sums them by any key."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import StoreUnavailable
from foundation.types import Usage
from observability.stores.costs import KEY_OF, CostLedger
from orchestration.events import Charge

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)


def charge(usd: str | None = "0.1", **changed: object) -> Charge:
    given = {
        "layer": "models", "kind": "chat", "part": "openai_compatible", "model": "m-1", "usage": Usage(10, 2, None, 1),
        "seconds": 0.5, "usd": None if usd is None else Decimal(usd), "basis": "genai-prices 1", "tenant": "acme",
        "answer_id": "a-1", "trace_id": "t-1", "at": NOW,
    }  # fmt: skip
    return Charge(**{**given, **changed})


@pytest.fixture
def ledger(data_dir):
    opened = CostLedger(data_dir / "costs.sqlite")
    yield opened
    opened.close()


def test_a_charge_comes_back_as_it_was(ledger):
    made = [charge("0.00000012345678901234567890"), charge(None, usage=Usage(), answer_id=None), charge(trace_id="t-2")]
    for one in made:
        ledger.record(one)
    assert ledger.of_trace("t-1") == made[:2]
    assert ledger.of_answer("a-1") == [made[0], made[2]]
    assert ledger.of_trace("unknown") == []


def test_sums_are_exact_where_floating_point_is_not(ledger):
    for _ in range(3):
        ledger.record(charge("0.1"))
    (total,) = ledger.totals("tenant")
    assert total.usd == Decimal("0.3")
    assert (total.calls, total.unpriced, total.input_tokens, total.output_tokens, total.seconds) == (3, 0, 30, 6, 1.5)


def test_an_unpriced_call_is_counted_and_not_added(ledger):
    ledger.record(charge("0.1"))
    ledger.record(charge(None))
    (total,) = ledger.totals("model")
    assert (total.usd, total.calls, total.unpriced) == (Decimal("0.1"), 2, 1)


@pytest.mark.parametrize("by", KEY_OF)
def test_totals_are_by_each_key_and_the_most_expensive_comes_first(ledger, by):
    ledger.record(charge("0.1"))
    other = {
        "tenant": "bell",
        "model": "m-2",
        "layer": "retrieval",
        "kind": "embeddings",
        "at": NOW - timedelta(days=1),
    }
    ledger.record(charge("0.7", **{"at" if by == "day" else by: other["at" if by == "day" else by]}))
    first, second = ledger.totals(by)
    assert (first.usd, second.usd) == (Decimal("0.7"), Decimal("0.1"))
    assert first.key == ("2026-11-24" if by == "day" else other[by])


def test_only_charges_since_a_time_are_added_whatever_their_time_zone(ledger):
    tokyo = timezone(timedelta(hours=9))
    ledger.record(charge("0.1", at=datetime(2026, 11, 25, 8, 30, tzinfo=tokyo)))  # half past eleven at night, UTC
    ledger.record(charge("0.2"))
    assert [total.usd for total in ledger.totals(since=datetime(2026, 11, 25, tzinfo=UTC))] == [Decimal("0.2")]
    assert [total.key for total in ledger.totals("day")] == ["2026-11-25", "2026-11-24"]


def test_many_threads_lose_no_charge(ledger):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: ledger.record(charge("0.01")), range(200)))
    (total,) = ledger.totals()
    assert (total.calls, total.usd) == (200, Decimal("2.00"))


def test_a_recorded_charge_survives_the_end_of_its_process(data_dir):
    program = (
        "import os, sys; from pathlib import Path; from tests.unit.observability.test_ledger import charge;"
        "from observability.stores.costs import CostLedger; l = CostLedger(Path(sys.argv[1])); l.record(charge('0.5')); os._exit(1)"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(data_dir / "c.sqlite")], check=False, env={**os.environ, "PYTHONPATH": "."}
    )
    again = CostLedger(data_dir / "c.sqlite")
    assert [total.usd for total in again.totals()] == [Decimal("0.5")]
    again.close()


def test_a_folder_that_does_not_exist_is_an_error_that_says_so(data_dir):
    with pytest.raises(StoreUnavailable, match="Make it and its folder writable"):
        CostLedger(data_dir / "nowhere" / "costs.sqlite")


def test_a_damaged_file_is_an_error(data_dir):
    (data_dir / "costs.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreUnavailable, match="is damaged"):
        CostLedger(data_dir / "costs.sqlite")


@settings(max_examples=30)  # each writes to the disk a dozen times
@given(st.lists(st.decimals(0, 10**6, places=20), max_size=12))
def test_the_total_is_the_exact_sum(tmp_path_factory, amounts):
    from decimal import localcontext

    ledger = CostLedger(Path(tmp_path_factory.mktemp("ledger")) / "costs.sqlite")
    for amount in amounts:
        ledger.record(charge(str(amount)))
    with localcontext() as context:
        context.prec = 60
        assert sum((total.usd for total in ledger.totals()), Decimal(0)) == sum(amounts, Decimal(0))
    ledger.close()

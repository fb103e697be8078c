"""The promises of every store whose tables may stand in PostgreSQL, on a SQLite file and there; and between two replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from contextvars import Context
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from extensions.facts import store as facts
from extensions.facts.store import SqliteFacts
from extensions.feedback import store as outcomes
from extensions.feedback.commands import sum_by_outcome
from extensions.feedback.store import Outcome, OutcomeStore
from extensions.postgres.records import Options, SharedRecords
from foundation.errors import BudgetExceeded, Conflict, InvalidRequest, NotFound, PersonErased
from foundation.stores.erasures import Erasures
from foundation.stores.registry import Person
from foundation.stores.sqlite_file import Open, SqliteFile, SqliteStore
from observability.stores import costs
from observability.stores.costs import CostLedger
from observability.stores.history import answers, runs_of
from orchestration.actions import Approval, Decision
from orchestration.effects import approvals, effect_log
from orchestration.effects.approvals import SqliteApprovals
from orchestration.effects.effect_log import SqliteEffects
from orchestration.run.spending import SqliteSpending
from orchestration.settings import BudgetSettings
from tests import services
from tests.doubles.orchestration import LEAD, NORTH, SOUTH, ManualClock
from tests.doubles.serving import charge

AWKWARD = 'a "quoted" 100 % of ä, what? :name \\u0000 \0 end'
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
ZOE = Person(tenant=NORTH.tenant, subject=NORTH.subject, answers=frozenset({"a-1"}))
Opening = Callable[..., Any]


@pytest.fixture(params=["sqlite", "postgres"])
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    if request.param == "sqlite":
        yield SqliteFile
        return
    with closing(shared_records(tmp_path)) as records:
        yield records


def shared_records(folder: Path) -> SharedRecords:
    chosen = services.options("postgres", folder)
    return SharedRecords(Options(dsn=SecretStr(chosen["dsn"]), namespace=chosen["namespace"]))


@pytest.fixture
def open_(records: Open, tmp_path: Path) -> Iterator[Opening]:
    """Open a store of that class on the database; two of them are two processes, or two replicas."""
    with ExitStack() as opened:

        def make(store: Callable[..., Any], *options: Any) -> Any:
            return opened.enter_context(closing(store(tmp_path / store.__name__, *options, records=records)))

        yield make


def erase(records: Open, store: SqliteStore, path: Path) -> int:
    with closing(records(path, store)) as tables:
        return int(tables.run_now(lambda connection: store.erase_rows(connection, ZOE)))  # type: ignore[misc]


def approval(number: int, **changes: Any) -> Approval:
    return Approval(
        **{
            "approval_id": f"a-{number}", "thread_id": "t", "tenant": "north", "requested_by": NORTH.subject, "tool": "send",
            "arguments": {"reason": AWKWARD}, "arguments_hash": "h", "reason": "send it", "requested_at": NOW,
            "expires_at": NOW + timedelta(hours=1),
        }
        | changes
    )  # fmt: skip


async def test_approvals_are_stored_once_listed_in_order_decided_once_and_expire(
    open_: Opening, records: Open, tmp_path: Path
) -> None:
    clock = ManualClock(NOW)
    store, other = (open_(SqliteApprovals, clock) for _ in range(2))
    for number in (2, 1, 3):
        assert await store.request(approval(number)) == approval(number)
    assert (await other.request(approval(1, tool="other"))).tool == "send"
    with pytest.raises(Conflict):
        await other.request(approval(1, tenant="south"))
    assert [one.approval_id for one in await other.pending("north")] == ["a-2", "a-1", "a-3"]
    assert (other.waiting(), await other.pending("south")) == (3, [])
    decided = await other.decide(Decision(approval_id="a-1", approve=True, reason=AWKWARD), LEAD)
    with pytest.raises(Conflict):
        await store.decide(Decision(approval_id="a-1", approve=False), LEAD)
    assert await store.decided("north", limit=5) == [decided]
    clock.forward(hours=1, seconds=0.5)
    assert (store.waiting(), await store.pending("north")) == (0, [])
    expired = await other.get("a-2", "north")
    assert expired is not None
    assert expired.status == "expired"
    assert erase(records, approvals.STORE, tmp_path / "SqliteApprovals") == 3
    await store.request(
        approval(4, requested_by="ben", decided_by=NORTH.subject, decision_reason=AWKWARD, status="rejected")
    )
    assert erase(records, approvals.STORE, tmp_path / "SqliteApprovals") == 1
    kept = await store.get("a-4", "north")
    assert kept is not None
    assert (kept.decision_reason, kept.decided_by, kept.arguments) == ("", NORTH.subject, {"reason": AWKWARD})
    assert store.erase_before(NOW) == 0
    assert store.erase_before(NOW + timedelta(seconds=0.1)) == 1


async def test_an_effect_is_claimed_once_and_its_result_given_to_all(
    open_: Opening, records: Open, tmp_path: Path
) -> None:
    here, there = (open_(SqliteEffects) for _ in range(2))
    claims = [one.begin(f"k-{n}", "send", "h", NORTH) for n in range(20) for one in (here, there)]
    taken = await asyncio.gather(*claims, return_exceptions=True)
    assert sum(one is None for one in taken) == 20
    assert sum(isinstance(one, Conflict) for one in taken) == 20
    await here.finish("k-1", {"content": AWKWARD})
    assert await there.begin("k-1", "send", "h", NORTH) == {"content": AWKWARD}
    await there.abandon("k-2")
    assert await here.begin("k-2", "send", "h", NORTH) is None
    assert len(await here.keys_of(NORTH)) == 20
    assert erase(records, effect_log.STORE, tmp_path / "SqliteEffects") == 20
    assert await here.keys_of(NORTH) == []


async def test_no_reservations_at_once_exceed_a_budget_of_the_day(open_: Opening) -> None:
    limits = BudgetSettings(tenant_day={"tokens": 1000}, day={"tokens": 1500})  # type: ignore[arg-type]
    stores = [open_(SqliteSpending, limits, ManualClock()) for _ in range(3)]
    wanted = [
        store.reserve(person, tokens=100, usd=None) for store in stores for person in (NORTH, SOUTH) for _ in range(5)
    ]
    held = await asyncio.gather(*wanted, return_exceptions=True)
    assert sum(isinstance(one, tuple) for one in held) == 15
    assert sum(isinstance(one, BudgetExceeded) for one in held) == 15
    north, south = [(await stores[0].today(tenant))[0] for tenant in ("north", "south")]
    assert (north + south, max(north, south) <= 1000) == (1500, True)
    await asyncio.gather(
        *(stores[0].settle(one, tokens=1, usd=Decimal("0.25")) for one in held if isinstance(one, tuple))
    )
    assert await stores[1].today() == (15, Decimal("3.75"))
    assert stores[2].system_share() == 15 / 1500
    assert stores[2].fullest_share() == max(north, south) / 100 / 1000


def test_facts_are_kept_once_each_and_belong_to_their_person(open_: Opening, records: Open, tmp_path: Path) -> None:
    numbers = iter("abcdef")
    store, other = (open_(SqliteFacts, ManualClock(), lambda: next(numbers)) for _ in range(2))
    first = store.add(NORTH, f"Our printers: {AWKWARD}", key="k")
    assert other.add(NORTH, "Something else", key="k") == first
    second = other.add(NORTH, "The depot is in Pellbury")
    assert store.of(NORTH) == [first, second]
    assert store.correct(second.fact_id, "The depot is in Wick", NORTH).text == "The depot is in Wick"
    with pytest.raises(NotFound):
        store.erase(first.fact_id, SOUTH)
    with pytest.raises(InvalidRequest):
        store.add(NORTH, " ")
    assert erase(records, facts.STORE, tmp_path / "SqliteFacts") == 2
    assert other.of(NORTH) == []


def test_charges_add_up_exactly(open_: Opening, records: Open, tmp_path: Path) -> None:
    ledger = open_(CostLedger)
    tiny = [Decimal("0.1"), Decimal("0.2"), Decimal("1E-25"), None]
    charges = [charge(usd=usd, answer_id=f"a-{n}", tenant="north", subject=NORTH.subject) for n, usd in enumerate(tiny)]
    for one in charges:
        ledger.record(one)
    other = open_(CostLedger)
    assert other.all() == charges
    assert other.of_answer("a-1") == charges[1:2]
    (total,) = other.totals("tenant", tenant="north")
    assert (total.usd, total.calls, total.unpriced) == (Decimal("0.3000000000000000000000001"), 4, 1)
    assert (type(total.input_tokens), type(total.seconds)) == (int, float)
    assert other.totals("day", since=datetime(2100, 1, 1, tzinfo=UTC)) == []
    assert list(answers(other)) == ["a-0", "a-1", "a-2", "a-3"]
    assert {one.key: one.calls for one in sum_by_outcome(other, {"a-1": "accepted"})} == {"accepted": 1, "unknown": 3}
    assert len(runs_of(other, "north", NORTH.subject)) == 4
    assert erase(records, costs.STORE, tmp_path / "CostLedger") == 4
    assert {one.subject for one in other.all()} == {""}


def test_the_latest_outcome_of_an_answer_stands(open_: Opening, records: Open, tmp_path: Path) -> None:
    store, other = (open_(OutcomeStore) for _ in range(2))
    first = Outcome("a-1", "rejected", NOW, recorded_by=NORTH.subject, note="too long", tenant="north")
    store.record(first)
    latest = other.record(
        Outcome("a-1", "edited", NOW, recorded_by=NORTH.subject, minutes=1.5, note="as I said", tenant="north")
    )
    second = other.record(Outcome("a-2", "accepted", NOW, recorded_by="ada", tenant="south"))
    assert store.all() == [latest, second]
    assert store.all(tenant="south") == [second]
    assert erase(records, outcomes.STORE, tmp_path / "OutcomeStore") == 1
    assert [(one.note, one.recorded_by, one.verdict) for one in store.all()] == [
        ("", "erased", "edited"),
        ("", "ada", "accepted"),
    ]


def test_a_person_who_was_erased_meanwhile_is_written_by_no_store(
    open_: Opening, tmp_path: Path, records: Open
) -> None:
    notes, store, ledger = Erasures(tmp_path), open_(SqliteFacts, ManualClock()), open_(CostLedger)
    with notes.acting_for(NORTH):
        Context().run(lambda: ExitStack().enter_context(notes.erasing(NORTH)))  # as in another process
        with pytest.raises(PersonErased):
            store.add(NORTH, "Something")
        ledger.record(charge(subject=NORTH.subject))
    assert store.of(SOUTH) == []
    assert [one.subject for one in ledger.all()] == [""]

"""The promises of every store whose tables may stand in PostgreSQL, on a SQLite file and there; and between two replicas."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from contextvars import Context
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from pydantic import SecretStr

from extensions.postgres.records import Options, SharedRecords
from foundation.errors import BudgetExceeded, Conflict, InvalidRequest, NotFound, PersonErased, StoreUnavailable
from foundation.stores.erasures import Erasures
from foundation.stores.registry import Person
from foundation.stores.sqlite_file import Open, SqliteFile, SqliteStore
from observability.stores import costs, outcomes
from observability.stores.costs import CostLedger
from observability.stores.history import answers, by_outcome, runs_of
from observability.stores.outcomes import Outcome, OutcomeStore
from orchestration.actions import Approval, Decision
from orchestration.effects import approvals, effect_log
from orchestration.effects.approvals import SqliteApprovals
from orchestration.effects.effect_log import SqliteEffects
from orchestration.memory import facts
from orchestration.memory.facts import SqliteFacts
from orchestration.run.spending import SqliteSpending
from orchestration.settings import BudgetSettings
from serving.cli.govern.erasure import SHARED
from serving.http import idempotency
from serving.http.idempotency import Attempt, FirstReply, IdempotencyStore, InFlight
from tests import services
from tests.doubles.orchestration import LEAD, NORTH, SOUTH, ManualClock
from tests.doubles.serving import charge

AWKWARD = 'a "quoted" 100 % of ä, what? :name \\u0000 \0 end'
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
ZOE = Person(tenant=NORTH.tenant, subject=NORTH.subject, answers=frozenset({"a-1"}))
# As a restart of the server does
END_OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid != pg_backend_pid()"
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


async def test_a_key_is_held_by_one_and_its_first_reply_given_by_all(
    open_: Opening, records: Open, tmp_path: Path
) -> None:
    here, there = (open_(IdempotencyStore, ManualClock()) for _ in range(2))
    taken = await asyncio.gather(
        *(one.begin(ZOE.mark, "k", "r") for one in (here, there) for _ in range(3)), return_exceptions=True
    )
    (attempt,) = [one for one in taken if isinstance(one, Attempt)]
    assert [str(one) for one in taken if one is not attempt and "still at work" not in str(one)] == []
    attempt.thread_id = "t"
    await attempt.store.began(attempt)
    await attempt.store.release(attempt)
    again = await there.begin(ZOE.mark, "k", "r")
    assert again.thread_id == "t"
    await there.keep(again, FirstReply(200, "text/plain", b"\0\xff %s ?"))
    assert await here.begin(ZOE.mark, "k", "r") == FirstReply(200, "text/plain", b"\0\xff %s ?")
    with pytest.raises(InvalidRequest, match="sent before"):
        await here.begin(ZOE.mark, "k", "other")
    assert erase(records, idempotency.STORE, tmp_path / "IdempotencyStore") == 1


async def test_as_many_keys_are_at_work_as_there_are_requests(open_: Opening) -> None:
    here, there = (open_(IdempotencyStore, ManualClock()) for _ in range(2))
    attempts = [await here.begin(ZOE.mark, f"k-{n}", "r") for n in range(60)]
    for store in (here, there):
        with pytest.raises(InFlight):
            await store.begin(ZOE.mark, "k-7", "r")
    for attempt in attempts:
        assert isinstance(attempt, Attempt)
        await here.keep(attempt, FirstReply(200, "text/plain", b"done"))
    assert await there.begin(ZOE.mark, "k-7", "r") == FirstReply(200, "text/plain", b"done")


async def test_a_key_is_free_again_where_the_store_was_down_when_its_request_failed(
    open_: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_(IdempotencyStore, ManualClock())
    attempt = await store.begin(ZOE.mark, "k", "r")
    with monkeypatch.context() as down:
        down.setattr(store._file, "transaction", Mock(side_effect=StoreUnavailable("The database is down.")))
        with pytest.raises(StoreUnavailable):
            await store.release(attempt)
    again = await store.begin(ZOE.mark, "k", "r")
    assert isinstance(again, Attempt)
    with monkeypatch.context() as down:
        down.setattr(store._file, "transaction", Mock(side_effect=StoreUnavailable("The database is down.")))
        with pytest.raises(StoreUnavailable):
            await store.keep(again, FirstReply(200, "", b""))
    with pytest.raises(InFlight):  # it is done, and must not be done again
        await store.begin(ZOE.mark, "k", "r")


async def test_a_restart_of_the_server_gives_no_key_at_work_to_another_replica(tmp_path: Path) -> None:
    with ExitStack() as opened:
        both = [opened.enter_context(closing(shared_records(tmp_path))) for _ in range(2)]
        both[0].json_file(tmp_path / "stops.json", dict)  # every server follows some
        here, there = (
            opened.enter_context(closing(IdempotencyStore(tmp_path / f"{n}", ManualClock(), records)))
            for n, records in enumerate(both)
        )
        here._worker, there._worker = "1:0.0:a machine", "1:0.0:another machine"
        attempt = await here.begin(ZOE.mark, "k", "r")
        assert isinstance(attempt, Attempt)
        with both[1].notes.transaction() as connection:
            connection.execute(END_OTHERS)
        with pytest.raises(InFlight):
            await there.begin(ZOE.mark, "k", "r")
        await here.keep(attempt, FirstReply(200, "text/plain", b"done"))
        assert await there.begin(ZOE.mark, "k", "r") == FirstReply(200, "text/plain", b"done")
        killed = await here.begin(ZOE.mark, "k-2", "r")
        assert isinstance(killed, Attempt)
        killed.claim.close()
        assert isinstance(await there.begin(ZOE.mark, "k-2", "r"), Attempt)


async def test_a_request_that_waits_for_one_of_its_own_process_claims_nothing(tmp_path: Path) -> None:
    claimed: list[str] = []

    @contextmanager
    def claim(name: str) -> Iterator[bool]:
        claimed.append(name)
        yield True

    with closing(IdempotencyStore(tmp_path / "keys.sqlite", ManualClock())) as store:
        store._claim = claim
        attempt = await store.begin(ZOE.mark, "k", "r")
        assert isinstance(attempt, Attempt)
        with pytest.raises(InFlight):
            await store.begin(ZOE.mark, "k", "r")
        await store.release(attempt)
    assert claimed == [f"{ZOE.mark} k"]


async def test_a_claim_that_the_database_does_not_take_back_holds_up_no_other_request(tmp_path: Path) -> None:
    returning, taken_back = threading.Event(), threading.Event()
    in_time: list[bool] = []

    @contextmanager
    def claim(_: str) -> Iterator[bool]:
        yield True
        returning.set()
        in_time.append(taken_back.wait(60))

    with closing(IdempotencyStore(tmp_path / "keys.sqlite", ManualClock())) as store:
        store._claim = claim
        attempt = await store.begin(ZOE.mark, "k", "r")
        assert isinstance(attempt, Attempt)
        release = asyncio.create_task(store.release(attempt))
        assert await asyncio.to_thread(returning.wait, 60)
        taken_back.set()
        await release
    assert in_time == [True]


async def test_a_reply_that_an_outage_kept_from_the_store_is_stored_when_the_server_stops(
    open_: Opening, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(idempotency, "AGAIN_S", 3600)
    store = open_(IdempotencyStore, ManualClock())
    for key, still_down in (("k", False), ("lost", True)):
        attempt = await store.begin(ZOE.mark, key, "r")
        assert isinstance(attempt, Attempt)
        with monkeypatch.context() as down:
            down.setattr(store._file, "transaction", Mock(side_effect=StoreUnavailable("The database is down.")))
            with pytest.raises(StoreUnavailable):
                await store.keep(attempt, FirstReply(200, "", b"done"))
            await asyncio.sleep(0)  # else it ends before it begins
            if not still_down:
                down.undo()
            (later,) = [task for task in store._late if not task.done()]
            later.cancel()  # as the end of the event loop does
            await asyncio.wait([later])
    assert await store.begin(ZOE.mark, "k", "r") == FirstReply(200, "", b"done")
    assert isinstance(await store.begin(ZOE.mark, "lost", "r"), Attempt)
    assert [message for message in caplog.messages if "is lost" in message]


async def test_whose_caller_leaves_while_the_reply_is_kept_is_not_done_again(
    open_: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_(IdempotencyStore, ManualClock())
    attempt = await store.begin(ZOE.mark, "k", "r")
    assert isinstance(attempt, Attempt)
    with monkeypatch.context() as leaving:
        leaving.setattr(store, "_update", Mock(side_effect=asyncio.CancelledError))
        with pytest.raises(asyncio.CancelledError):
            await store.keep(attempt, FirstReply(200, "", b""))
    with pytest.raises(InFlight):
        await store.begin(ZOE.mark, "k", "r")


async def test_a_caller_who_leaves_while_the_key_is_taken_leaves_it_free(open_: Opening) -> None:
    store, entered, go_on = open_(IdempotencyStore, ManualClock()), threading.Event(), threading.Event()
    run = store._file.run_now

    def take_late(*order: Any, **options: Any) -> Any:
        entered.set()
        go_on.wait(60)
        return run(*order, **options)

    store._file.run_now = take_late
    leaving = asyncio.create_task(store.begin(ZOE.mark, "k", "r"))
    await asyncio.to_thread(entered.wait, 60)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    go_on.set()
    await store._file.run(lambda _: None)  # after what the caller has left behind
    assert isinstance(await store.begin(ZOE.mark, "k", "r"), Attempt)


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
    assert {one.key: one.calls for one in by_outcome(other, {"a-1": "accepted"})} == {"accepted": 1, "unknown": 3}
    assert len(runs_of(other, "north", NORTH.subject)) == 4
    assert erase(records, costs.STORE, tmp_path / "CostLedger") == 4
    assert {one.subject for one in other.all()} == {""}


@pytest.mark.needs("observability.telemetry.personal_data")
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


def test_erasure_knows_every_store_that_can_be_shared() -> None:
    stores = (approvals, effect_log, facts, outcomes, costs, idempotency)
    assert {module.STORE.name for module in stores} == set(SHARED)

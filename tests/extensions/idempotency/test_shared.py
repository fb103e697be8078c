"""Keys and first replies on a SQLite file and on what replicas share, and between two replicas."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from extensions.idempotency import replies
from extensions.idempotency.replies import Attempt, FirstReply, IdempotencyStore, InFlight
from foundation.errors import InvalidRequest, StoreUnavailable
from foundation.extensions import installed
from foundation.stores.registry import Person
from foundation.stores.sqlite_file import Open, SqliteFile, SqliteStore
from tests.doubles.orchestration import NORTH, ManualClock

ZOE = Person(tenant=NORTH.tenant, subject=NORTH.subject, answers=frozenset({"a-1"}))
Opening = Callable[..., Any]
SHARING = "postgres"
DATABASES = ["sqlite", *({SHARING} & {*installed()})]
if SHARING in DATABASES:
    from tests.extensions.postgres.test_records import shared_records
    from tests.extensions.postgres.test_replicas import END_OTHERS


@pytest.fixture(params=DATABASES)
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    if request.param == "sqlite":
        yield SqliteFile
        return
    with closing(shared_records(tmp_path)) as records:
        yield records


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
    assert erase(records, replies.STORE, tmp_path / "IdempotencyStore") == 1


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
    monkeypatch.setattr(replies, "AGAIN_S", 3600)
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


if SHARING in DATABASES:

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

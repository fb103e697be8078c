"""What the ledger in PostgreSQL promises besides what every ledger does: other processes, timeouts, a server that restarts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from extensions.postgres import database as postgres
from extensions.postgres.database import DOWN_SINCE, without_time_limit
from foundation.errors import StorageFull, StoreUnavailable
from tests import services
from tests.contracts import bad_line
from tests.contracts.test_ledger import ACME, entry, opened, words
from tests.doubles.relay import Relay

psycopg = pytest.importorskip("psycopg", reason="make setup WITH=postgres")

AT_ONCE, ATTEMPTS = 8, 3
NOWHERE = "host=/nowhere"


@pytest.fixture
def ledger(data_dir: Path) -> Iterator[Any]:
    with closing(opened("postgres", data_dir)) as built:
        yield built


@pytest.fixture
def hurried(ledger: Any, data_dir: Path) -> Iterator[Any]:
    """The same ledger, for somebody who waits a second at most."""
    del ledger
    with closing(opened("postgres", data_dir, timeout_s=1)) as built:
        yield built


@pytest.fixture
def beside(data_dir: Path) -> Iterator[Any]:
    """A connection of somebody else to the ledger's tables."""
    with psycopg.connect(services.postgres(), autocommit=True) as connection:
        connection.execute(f"SET search_path = {services.options('postgres', data_dir)['namespace']}")
        yield connection


def test_a_writer_that_waits_too_long_says_so_and_readers_go_on(ledger: Any, hurried: Any, beside: Any) -> None:
    ledger.put([entry("a.md", "Refund.")])
    with beside.transaction():
        beside.execute("LOCK TABLE commits IN EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable, match="did not answer within 1 s") as caught:
            hurried.put([entry("b.md", "B.")])
        assert caught.value.__cause__ is not None
        assert words(ledger, "refund") == ["Refund."]
    ledger.put([entry("b.md", "B.")])


def test_a_server_that_dropped_its_connections_costs_nothing(ledger: Any, beside: Any) -> None:
    ledger.put([entry("a.md", "Refund.")])
    beside.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query <> ''"
    )
    assert words(ledger, "refund") == ["Refund."]
    ledger.put([entry("b.md", "B.")])


def test_a_restart_costs_no_answer_however_many_connections_were_open(ledger: Any, beside: Any) -> None:
    """The pool would try them one after another, and wait a second, two, and two more in between."""
    ledger.put([entry("a.md", "Refund.")])
    pool = ledger._database.pool
    held = [pool.getconn() for _ in range(AT_ONCE)]
    for connection in held:
        pool.putconn(connection)
        beside.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
    assert words(ledger, "refund") == ["Refund."]


def test_who_waits_for_a_connection_gets_it_once_the_server_is_back(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(DOWN_SINCE, NOWHERE, raising=False)  # no outage that other tests left
    with closing(opened("postgres", data_dir, connect_timeout_s=60)) as ledger, ThreadPoolExecutor(1) as other:
        ledger.put([entry("a.md", "Refund.")])
        pool = ledger._database.pool
        bad_line.until(
            lambda: pool.get_stats()["pool_size"] == pool.get_stats()["pool_available"]
        )  # none is being made
        address, pool.conninfo = pool.conninfo, NOWHERE
        pool.drain()
        answer = other.submit(words, ledger, "refund")
        bad_line.until(lambda: pool.get_stats().get("connections_errors", 0) > ATTEMPTS)
        pool.conninfo = address
        assert answer.result() == ["Refund."]


def test_in_an_outage_that_was_waited_for_once_nobody_waits_again(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(opened("postgres", data_dir, connect_timeout_s=3600)) as ledger:
        pool = ledger._database.pool
        bad_line.until(lambda: pool.get_stats()["pool_size"] == pool.get_stats()["pool_available"])
        pool.conninfo = NOWHERE
        monkeypatch.setitem(DOWN_SINCE, NOWHERE, -3600.0)
        pool.drain()
        with pytest.raises(StoreUnavailable, match="gave no connection"):
            words(ledger, "refund")


def test_a_server_that_answers_and_takes_no_more_connections_is_not_taken_for_one_that_is_down(
    ledger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert words(ledger, "refund") == []
    server = ledger._database.pool.conninfo
    monkeypatch.setitem(DOWN_SINCE, server, -3600.0)
    assert words(ledger, "refund") == []
    assert server not in DOWN_SINCE


def test_who_came_in_an_outage_waits_for_connections_in_use_once_it_is_over(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        closing(opened("postgres", data_dir, connections=2, connect_timeout_s=60)) as ledger,
        ThreadPoolExecutor(1) as other,
    ):
        pool = ledger._database.pool
        held = [pool.getconn() for _ in range(2)]
        monkeypatch.setitem(DOWN_SINCE, pool.conninfo, -3600.0)
        answer = other.submit(words, ledger, "refund")
        bad_line.until(lambda: pool.get_stats()["requests_waiting"] == 1)
        monkeypatch.delitem(DOWN_SINCE, pool.conninfo)
        bad_line.until(lambda: pool.get_stats().get("requests_errors") == 1)
        for connection in held:
            pool.putconn(connection)
        assert answer.result() == []


def test_all_who_wait_in_an_outage_share_one_wait_for_each_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "monotonic", lambda: 100.0)
    monkeypatch.setattr(postgres, "DOWN_SINCE", {"one": 98.0, "down for long": 7.0})
    waits = [postgres._left_s(SimpleNamespace(conninfo=server, timeout=5)) for server in ("one", "down for long", "up")]
    assert waits == [3, postgres.LEAST_S, 5]


def test_a_server_that_never_answers_is_given_up(data_dir: Path) -> None:
    with (
        bad_line.to_nobody("postgres", data_dir) as options,
        pytest.raises(StoreUnavailable, match="connection timeout expired") as caught,
    ):
        opened("postgres", data_dir, **options)
    assert caught.value.__cause__ is not None


@pytest.fixture
def line_and_ledger(data_dir: Path) -> Iterator[tuple[Relay, Any]]:
    with (
        bad_line.to_server("postgres", data_dir) as (line, options),
        closing(opened("postgres", data_dir, **options)) as built,
    ):
        yield line, built


def test_a_server_that_falls_silent_is_given_up_and_used_again(line_and_ledger: tuple[Relay, Any]) -> None:
    line, ledger = line_and_ledger
    ledger.put([entry("a.md", "Refund.")])
    line.silence()
    for act in (lambda: words(ledger, "refund"), lambda: ledger.put([entry("lost.md", "Refund.")])):
        with pytest.raises(StoreUnavailable) as caught:
            act()
        assert caught.value.__cause__ is not None
    line.heal()
    bad_line.until(lambda: words(ledger, "refund") == ["Refund."])


def test_after_a_long_outage_the_first_request_is_answered(line_and_ledger: tuple[Relay, Any]) -> None:
    """The pool gives up soon and begins anew with the next request; its own pauses would grow as long as the outage was."""
    line, ledger = line_and_ledger
    ledger.put([entry("a.md", "Refund.")])
    line.silence()
    with pytest.raises(StoreUnavailable):
        words(ledger, "refund")
    pool = ledger._database.pool
    bad_line.until(lambda: pool.get_stats()["pool_size"] == pool.get_stats()["pool_available"])  # none is being made
    line.heal()
    assert words(ledger, "refund") == ["Refund."]


def test_an_outage_writes_one_line_and_one_when_it_is_over(ledger: Any, caplog: pytest.LogCaptureFixture) -> None:
    pool = ledger._database.pool
    pool.wait()
    address, pool.conninfo = pool.conninfo, NOWHERE
    pool.drain()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="gave no connection"):
            words(ledger, "refund")
    pool.conninfo = address
    bad_line.until(lambda: words(ledger, "refund") == [])
    down, back = [each.getMessage() for each in caplog.records if "discarding" not in each.getMessage()]
    assert "error connecting in" in down
    assert "PostgreSQL is back" in back


def test_a_silence_in_the_middle_of_a_statement_ends_it(line_and_ledger: tuple[Relay, Any]) -> None:
    """The pool asks a connection whether it lives before it lends it; here the server falls silent afterwards."""
    line, ledger = line_and_ledger

    def read() -> None:
        with ledger._database.transaction() as connection:
            line.silence()
            connection.execute("SELECT 1")

    with pytest.raises(StoreUnavailable, match="did not answer within") as caught:
        read()
    assert caught.value.__cause__ is not None
    line.heal()
    bad_line.until(lambda: bool(ledger.sequence() == 0))


def test_what_may_take_long_is_given_its_time(hurried: Any) -> None:
    with hurried._database.transaction() as connection:
        hurried = connection.patience_s
        with without_time_limit(connection):
            connection.execute("SELECT pg_sleep(1.2)")
            assert connection.patience_s is None
        assert connection.patience_s == hurried


def test_writers_in_several_processes_commit_in_the_order_of_their_numbers(data_dir: Path) -> None:
    """Whoever has caught up to a number will never have missed one below it. Each writer has connections of its own."""
    with closing(opened("postgres", data_dir)) as reader:
        stop = threading.Event()

        def write(writer: int) -> None:
            with closing(opened("postgres", data_dir)) as own:
                for turn in range(8):
                    own.put([entry(f"{writer} {turn}.md", f"Refund {writer} {turn}.")])

        def follow() -> set[str]:
            seen, done = set[str](), 0
            while not stop.is_set() or done < reader.sequence():
                target = reader.sequence()
                seen |= {item.chunk_id for item in reader.embeddings(after=done) if item.sequence <= target}
                done = target
            return seen

        with ThreadPoolExecutor(4) as pool:
            following = pool.submit(follow)
            try:
                list(pool.map(write, range(3)))
            finally:
                stop.set()
            assert len(following.result()) == 24
        assert len(reader.documents(ACME)) == 24


def test_a_ledger_of_another_format_is_refused_by_number(data_dir: Path, ledger: Any, beside: Any) -> None:
    beside.execute("UPDATE format SET version = 4")
    with pytest.raises(StoreUnavailable, match=r"format 4.*ingest again"):
        opened("postgres", data_dir)


def test_a_full_disk_is_named(ledger: Any) -> None:
    """No disk is filled here; what psycopg says then is."""
    with pytest.raises(StorageFull, match="free some space") as caught, ledger._database.translate_errors():
        raise psycopg.errors.DiskFull("could not extend file")
    assert isinstance(caught.value.__cause__, psycopg.errors.DiskFull)


def test_a_password_in_the_address_is_never_told(data_dir: Path) -> None:
    dsn = "postgresql://sixply:swordfish@127.0.0.1:9/x"
    with pytest.raises(StoreUnavailable) as caught:
        opened("postgres", data_dir, dsn=dsn)
    assert "swordfish" not in str(caught.value)

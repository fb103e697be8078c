"""Which worker is replaced when, without starting any: test_several_processes.py does."""

from __future__ import annotations

import logging
import pickle
import signal
import socket
from pathlib import Path

import pytest

from extensions.workers import supervisor
from extensions.workers.supervisor import demand_shared, supervise
from foundation.errors import ComponentError, InvalidSetting, UnknownSetting
from foundation.settings import Part
from serving.cli import doctor
from serving.settings import Settings, load
from tests.doubles.stacks import stack as doubled

pytestmark = pytest.mark.usefixtures("restored_signals")

STACK = """
extensions = ["postgres", "redis", "workers"]
[workers]
processes = 2
[serving.cache]
use = "redis"
[retrieval.ledger]
use = "postgres"
[retrieval.vectors]
use = "pgvector"
[orchestration.checkpoints]
use = "postgres"
"""


def test_what_is_configured_can_be_sent_to_a_worker(tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text(STACK + "[serving.http]\nport = 8700\n")
    loaded = load(tmp_path / "stack.toml")
    assert pickle.loads(pickle.dumps(loaded)) == loaded


class Process:
    """A double of a worker's process: it lives, or has ended."""

    def __init__(self, sentinel: int, exitcode: int | None) -> None:
        self.sentinel, self.exitcode = sentinel, exitcode

    def is_alive(self) -> bool:
        return self.exitcode is None

    def terminate(self) -> None:
        self.exitcode = self.exitcode or -15

    def join(self, timeout: float) -> None: ...
    def kill(self) -> None: ...


class Workers:
    """In place of the class that starts workers: gives doubles that end as it is told, the last one for ever."""

    def __init__(self, sentinel: int, *ends: int | None) -> None:
        self._sentinel, self._ends = sentinel, list(ends)
        self.started: list[Process] = []

    def __call__(self, *_: object) -> Workers.Worker:
        exitcode = self._ends.pop(0) if len(self._ends) > 1 else self._ends[0]
        self.started.append(Process(self._sentinel, exitcode))
        return Workers.Worker(self.started[-1])

    class Worker:
        def __init__(self, process: Process) -> None:
            self.process = process

        def is_up(self) -> bool:
            return True


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(supervisor, "BACK_OFF_S", 0.001)
    monkeypatch.setattr(supervisor, "LOOK_S", 0.001)
    (tmp_path / "stack.toml").write_text(STACK, encoding="utf-8")
    return tmp_path / "stack.toml"


def test_workers_that_die_at_once_are_replaced_later_and_later_and_then_the_server_ends_with_a_reason(
    stack: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as listening:
        workers = Workers(listening.fileno(), None, -9)  # the first lives on, and its neighbour never does
        monkeypatch.setattr(supervisor, "_Worker", workers)
        with (
            caplog.at_level(logging.WARNING),
            pytest.raises(ComponentError, match=r"SIGKILL.* for the 5th time in a row"),
        ):
            supervise(load(stack), listening, lambda: None)
    assert len(workers.started) == 1 + supervisor.GIVE_UP
    waits = [record.args[1] for record in caplog.records if isinstance(record.args, tuple)]
    assert waits == [0.001, 0.002, 0.004, 0.008]
    assert all(process.exitcode is not None for process in workers.started), "the one that lived was told to stop"


def test_a_worker_that_had_lived_for_a_while_is_replaced_at_once_and_never_given_up(
    stack: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Enough(Exception):
        """Ends the test: many more have been started than a server would bear of young ones."""

    class Many(Workers):
        def __call__(self, *_: object) -> Workers.Worker:
            if len(self.started) > 3 * supervisor.GIVE_UP:
                raise Enough
            return super().__call__()

    monkeypatch.setattr(supervisor, "STEADY_S", 0.0)
    with socket.socket() as listening:
        monkeypatch.setattr(supervisor, "_Worker", Many(listening.fileno(), 1))
        with caplog.at_level(logging.WARNING), pytest.raises(Enough):
            supervise(load(stack), listening, lambda: None)
    assert {record.args[1] for record in caplog.records if isinstance(record.args, tuple)} == {0.0}


def test_a_stop_while_workers_start_is_no_failure_of_theirs(stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(Workers):
        """Ctrl-C in a terminal reaches the supervisor and its workers at once."""

        def __call__(self, *_: object) -> Workers.Worker:
            signal.raise_signal(signal.SIGINT)
            return super().__call__()

    def is_up(_: Workers.Worker) -> bool:
        raise ComponentError("A worker did not come up.")

    monkeypatch.setattr(Workers.Worker, "is_up", is_up)
    with socket.socket() as listening:
        monkeypatch.setattr(supervisor, "_Worker", Interrupted(listening.fileno(), None))
        supervise(load(stack), listening, lambda: pytest.fail("nothing is up"))


def test_a_server_that_stops_takes_no_connection_that_nobody_would_answer(
    stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(Exception):
        """Ends the test as soon as the workers are up."""

    def announce() -> None:
        raise Stop

    with socket.create_server(("127.0.0.1", 0)) as listening:
        address, refused = listening.getsockname(), []

        def terminate(_: Process) -> None:
            with pytest.raises(ConnectionRefusedError), socket.create_connection(address):
                pass
            refused.append(address)

        monkeypatch.setattr(Process, "terminate", terminate)
        monkeypatch.setattr(supervisor, "_Worker", Workers(listening.fileno(), None))
        with pytest.raises(Stop):
            supervise(load(stack), listening, announce)
    assert refused == [address] * 2


def test_several_processes_over_a_store_of_one_are_refused_by_name() -> None:
    demand_shared(Settings(), 1)
    with pytest.raises(
        InvalidSetting, match=r'processes = 2, but one process .*use = "sqlite", take postgres.*use = "exact", '
    ):
        demand_shared(Settings(), 2)
    shared = {"ledger": {"use": "postgres"}, "vectors": {"use": "pgvector"}}
    settings = Settings.model_validate(
        {"retrieval": shared, "orchestration": {"checkpoints": {"use": "postgres"}}, "serving": {"cache": {"use": "redis"}}}
    )  # fmt: skip
    demand_shared(settings, 8)
    local = settings.retrieval.model_copy(update={"vectors": Part(use="qdrant")})
    with pytest.raises(InvalidSetting, match=r'use = "qdrant", take pgvector'):
        demand_shared(settings.model_copy(update={"retrieval": local}), 8)


def test_doctor_says_which_store_one_process_alone_can_hold(tmp_path: Path) -> None:
    one = load(doubled(tmp_path, extensions=["workers"])).settings
    assert [check.found for check in doctor.run_checks_of_extensions(one)] == ["one process serves"]
    several = load(doubled(tmp_path, "[workers]\nprocesses = 2\n", extensions=["workers"])).settings
    (check,) = doctor.run_checks_of_extensions(several)
    assert not check.ok
    assert "one process alone can hold some of the stores" in check.advice


def test_while_it_is_off_its_section_is_an_error_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(UnknownSetting, match="make add NAME=workers"):
        load(doubled(tmp_path, "[workers]\nprocesses = 2\n"))

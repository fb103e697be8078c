"""One process owns an embedded index."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from foundation.errors import StoreInUse
from retrieval.index import lock as ownership
from retrieval.index.lock import Ownership

HOLDER = """
import sys
from pathlib import Path
from retrieval.index.lock import Ownership
held = Ownership(Path(sys.argv[1]), what="The vector index")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(ownership, "PATIENCE_S", 0.0)
    return tmp_path / "index" / "owner.lock"


@contextmanager
def held_elsewhere(lock: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process owns `lock` until the end of the block, or until it is killed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([".", *sys.path])}
    command = [sys.executable, "-c", HOLDER, str(lock)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def own(lock: Path) -> Ownership:
    return Ownership(lock, what="The vector index")


def test_a_second_owner_in_another_process_is_refused_and_told_the_pid(lock: Path) -> None:
    with held_elsewhere(lock) as process, pytest.raises(StoreInUse, match=rf"process {process.pid}\b"):
        own(lock)


def test_a_second_owner_in_the_same_process_is_refused_and_told_the_pid(lock: Path) -> None:
    first = own(lock)
    with pytest.raises(StoreInUse, match=rf"process {os.getpid()}\b"):
        own(lock)
    first.release()


def test_a_refusal_says_what_is_owned_where_and_how_to_go_on(lock: Path) -> None:
    first = own(lock)
    with pytest.raises(StoreInUse, match="SIXPLY__FOUNDATION__DATA_DIR") as refused:
        own(lock)
    assert "The vector index" in str(refused.value)
    assert str(lock.parent) in str(refused.value)
    first.release()


def test_an_owner_who_is_about_to_let_go_is_waited_for(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "PATIENCE_S", 60.0)
    first, asleep, sleep = own(lock), threading.Event(), time.sleep
    monkeypatch.setattr(ownership.time, "sleep", lambda _: (asleep.set(), sleep(0.01)))
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(own, lock)
        assert asleep.wait(60)
        first.release()
        second.result(60).release()


def test_a_refused_owner_leaves_the_first_one_in_possession(lock: Path) -> None:
    first = own(lock)
    for _ in range(2):
        with pytest.raises(StoreInUse, match=rf"process {os.getpid()}\b"):
            own(lock)
    first.release()
    own(lock).release()


def test_a_killed_owner_leaves_nothing_to_clean_up(lock: Path) -> None:
    with held_elsewhere(lock) as process:
        process.kill()
        process.wait()
        own(lock).release()


def test_after_its_release_another_process_may_own_it_and_is_named(lock: Path) -> None:
    own(lock).release()
    with held_elsewhere(lock) as process, pytest.raises(StoreInUse, match=rf"process {process.pid}\b"):
        own(lock)


def test_a_second_release_does_nothing_even_when_somebody_else_owns_it_by_then(lock: Path) -> None:
    first = own(lock)
    first.release()
    second = own(lock)
    first.release()
    with pytest.raises(StoreInUse):
        own(lock)
    second.release()


def test_a_child_process_does_not_keep_the_lock_alive(lock: Path) -> None:
    first = own(lock)
    command = [sys.executable, "-c", "print('runs', flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False) as child:
        assert child.stdout
        assert child.stdout.readline() == b"runs\n"
        first.release()
        own(lock).release()
        child.kill()


def test_two_folders_have_two_owners(tmp_path: Path) -> None:
    first, second = own(tmp_path / "a" / "owner.lock"), own(tmp_path / "b" / "owner.lock")
    first.release()
    second.release()


def test_a_longer_pid_of_an_earlier_owner_leaves_no_digits_behind(lock: Path) -> None:
    lock.parent.mkdir()
    lock.write_text("99999999999", encoding="ascii")
    first = own(lock)
    with pytest.raises(StoreInUse, match=rf"process {os.getpid()}\b"):
        own(lock)
    first.release()

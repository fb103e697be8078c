"""Whether a process still lives, whatever is done to the clock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from foundation.machine import worker as worker_module
from foundation.machine.worker import this_worker, worker_lives


def test_a_process_knows_itself_and_a_child_until_it_ends() -> None:
    assert worker_lives(this_worker())
    code = "import sys; from foundation.machine.worker import this_worker; print(this_worker(), flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout
    worker = child.stdout.readline().strip()
    assert worker_lives(worker)
    child.communicate()
    assert not worker_lives(worker)


def test_another_process_with_the_same_number_is_not_it() -> None:
    pid, began, boot = this_worker().split(":")
    assert not worker_lives(f"{pid}:{float(began) - 60}:{boot}")
    assert not worker_lives("1:0.0")


@pytest.mark.skipif(not psutil.LINUX, reason="needs a count of ticks since the boot: Linux")
@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_a_clock_that_is_set_makes_nobody_look_dead(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    worker, really = this_worker(), psutil._pslinux.boot_time
    monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: really() + seconds)
    assert psutil.boot_time() == pytest.approx(really() + seconds)
    assert worker_lives(worker)


@pytest.mark.skipif(not psutil.LINUX, reason="needs a count of ticks since the boot: Linux")
def test_a_process_of_an_earlier_boot_is_gone() -> None:
    pid, began, _ = this_worker().split(":")
    assert not worker_lives(f"{pid}:{began}:0f0f0f0f-0000-0000-0000-000000000000")


@pytest.mark.skipif(not psutil.LINUX, reason="needs namespaces of processes: Linux")
def test_a_process_of_another_container_of_this_machine_is_not_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    worker = this_worker()
    monkeypatch.setattr(worker_module, "PROCESSES", tmp_path)  # replicas that start at once have the same number
    assert not worker_lives(worker)

"""Reads that must not keep their reader waiting."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from foundation.machine import probes
from foundation.machine.probes import Probes


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_a_read_that_hangs_is_reported_and_holds_up_no_other(
    let_go: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, reading = [], Probes()

    def hang() -> None:
        begun.append(1)
        let_go.wait()

    monkeypatch.setattr(probes, "PATIENCE_S", 0)
    for _ in range(3):
        results, errors = reading.read({"stuck": hang})
        assert (results, type(errors["stuck"])) == ({}, TimeoutError)
    assert begun == [1], "one that is late is not begun again"
    monkeypatch.setattr(probes, "PATIENCE_S", 0.05)
    while "quick" not in results:  # a busy machine may be late with that, too
        results, errors = reading.read({"stuck": hang, "quick": lambda: 7})
    assert (results, [*errors]) == ({"quick": 7}, ["stuck"])
    monkeypatch.setattr(probes, "PATIENCE_S", 60)
    let_go.set()
    assert reading.read({"stuck": hang}) == ({"stuck": None}, {})
    assert reading.read({"stuck": lambda: "anew"}) == ({"stuck": "anew"}, {})


def test_what_a_read_raises_is_returned_by_its_name() -> None:
    results, errors = Probes().read({"broken": lambda: 1 / 0, "whole": lambda: 1})
    assert (results, type(errors["broken"]), len(errors)) == ({"whole": 1}, ZeroDivisionError, 1)


def test_a_read_that_hangs_does_not_hold_the_end_of_the_process() -> None:
    program = "import threading; from foundation.machine import probes; probes.PATIENCE_S = 0; print(probes.Probes().read({1: threading.Event().wait})[1])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert "TimeoutError" in ended.stdout

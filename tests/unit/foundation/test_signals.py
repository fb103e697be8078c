"""Signals that ask to stop: each of them is caught, but not the one that nohup holds off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from foundation.machine.process import STOP, catch_stop_signals

pytestmark = pytest.mark.usefixtures("restored_signals")

LONG_COMMAND = """
import signal
from serving.cli.main import run

def work():
    try:
        print("at work", flush=True)
        signal.pause()
    finally:
        print("closed", flush=True)

run(work)
"""


def test_each_of_them_is_caught() -> None:
    stops: list[int] = []
    catch_stop_signals(lambda number, _: stops.append(number))
    for number in STOP:
        os.kill(os.getpid(), number)
    assert stops == list(STOP)


def test_who_started_us_with_nohup_may_close_the_terminal() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    catch_stop_signals(lambda *_: pytest.fail("stopped"))
    os.kill(os.getpid(), signal.SIGHUP)


@pytest.mark.parametrize("number", STOP)
def test_a_command_that_is_told_to_stop_closes_what_it_opened(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LONG_COMMAND], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == "at work\n"
        child.send_signal(number)
        out, _ = child.communicate(timeout=60)
    assert out == "closed\n"

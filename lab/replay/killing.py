"""The process that plays a conversation is killed at random steps, and others go on with it.

python -m lab.replay.killing       reads one order a line from standard input and plays each in a process of its own
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foundation.components import Assembly  # noqa: F401  # imported before the processes part, like what stands below
from lab.replay.player import Crash, Player, journal_of
from lab.replay.recording import Conversation, read_recording
from lab.replay.worlds import open_worlds
from orchestration.flow import message_agent  # noqa: F401
from serving.settings import load
from serving.wiring import open_system

ANYWHERE = ("model_begun", "model_done", "tool_begun", "tool_done")
AROUND_EFFECTS = ("approval_asked", "before_effect", "after_effect", "after_ledger")
KILLS = 4
"""Of each conversation."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """A conversation to be played, and everything that a new process has to know for it."""

    stack: str
    overrides: dict[str, Any]
    recording: str
    world: str
    model: str
    approvals: bool
    conversation: str
    folder: str
    crash: dict[str, Any] | None = None


class Nursery:
    """Processes that are forked from one that has everything imported."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, order: Order) -> int:
        """Play; how the process ended, as `Popen.returncode` has it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(asdict(order))}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline() or 1)


@contextmanager
def open_nursery() -> Iterator[Nursery]:
    command = [sys.executable, "-m", "lab.replay.killing"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Nursery(process)
        assert process.stdin is not None
        process.stdin.close()


def crashes_of(conversation: Conversation, writing: tuple[str, ...], chance: random.Random) -> list[Crash]:
    """Where the processes die: anywhere, and around effects where there are some."""
    request, last_effect = -1, -1
    for line in conversation.script:
        request += line.speaker == "person"
        last_effect = request if any(call.name in writing for call in line.calls) else last_effect
    places = [(point, request) for point in ANYWHERE]
    if last_effect >= 0:
        places += [(point, last_effect) for point in AROUND_EFFECTS]
    chosen = chance.sample(places, min(KILLS, len(places)))
    return sorted((Crash(chance.randint(0, latest), point) for point, latest in chosen), key=lambda c: c.request)


def play_with_kills(nursery: Nursery, order: Order, conversation: Conversation, crashes: list[Crash]) -> None:
    """Kill the process at each of the points that it comes to, and play the conversation to its end."""
    for crash in [*crashes, None]:
        planned = asdict(crash) if crash else None
        code = nursery.run(Order(**asdict(order) | {"crash": planned}))
        journal = journal_of(Path(order.folder), conversation)
        if code == -signal.SIGKILL and crash:
            journal.note("kill", f"{crash.point} in request {len(journal.answers()) + 1}")
        elif code:
            journal.note("error", f"the process ended with {code}")
        journal.close()


async def _play(order: Order) -> None:
    recording = read_recording(Path(order.recording), tools_from=Path(order.world) if order.world else None)
    make_world, _ = open_worlds(recording, Path(order.world) if order.world else None)
    conversation = next(c for c in recording.conversations if c.conversation_id == order.conversation)
    player = Player(recording=recording, make_world=make_world, model=order.model, approvals=order.approvals)
    folder = Path(order.folder)
    with open_system(load(Path(order.stack), overrides=order.overrides)) as system:
        crash = Crash(**order.crash) if order.crash else None
        await player.play(conversation, journal_of(folder, conversation), system, crash)


def _main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if not child:
            try:
                asyncio.run(_play(Order(**json.loads(line))))
            except BaseException:  # a forked process must not go on into its parent's loop
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    _main()

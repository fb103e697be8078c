"""A server for the tests: the double of a system in each replica of a Ray Serve deployment on a local cluster.

    python -m tests.extensions.ray.on_ray FOLDER FILE

It writes its address and the keys into FILE when it answers, and obeys lines on standard input: a number is how many
replicas there shall be, and is repeated when so many are running, others perhaps still on their way out; the end of the
input ends it. A question that begins with "hold" is answered when there is a file `let-go` in FOLDER.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from extensions.ray import replicas as ray_replicas
from extensions.ray.settings import RaySettings
from foundation.clock import SystemClock
from foundation.components import Context
from foundation.extensions import installed, turn_on
from foundation.types import Principal
from orchestration.events import Event
from orchestration.requests import AnswerRequest
from serving.settings import Loaded, Settings
from tests.doubles.serving import FakeSystem, ScriptedAgent, world

KEYS = ("reader", "agent", "approver", "operator", "stranger", "all_roles")


class HoldingAgent(ScriptedAgent):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    async def stream(self, request: AnswerRequest, principal: Principal) -> AsyncIterator[Event]:
        async for event in super().stream(request, principal):
            yield event
            while request.question.startswith("hold") and not (self.folder / "let-go").exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.05)


@contextmanager
def opened(loaded: Loaded) -> Iterator[Any]:
    folder = loaded.settings.foundation.data_dir
    yield FakeSystem(loaded.settings, Context(data_dir=folder, clock=SystemClock()), agent=HoldingAgent(folder))


def on_cluster(settings: Settings, replicas: int) -> Loaded:
    ray = RaySettings(cpus=0.01, replicas=replicas)  # processors are booked, and there may be two
    return Loaded(settings.model_copy(update={"ray": ray}), {})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def running() -> int:
    from ray import serve

    states = serve.status().applications[ray_replicas.NAME].deployments[ray_replicas.NAME].replica_states
    return sum(count for state, count in states.items() if str(getattr(state, "value", state)) == "RUNNING")


def main(folder: Path, told: Path) -> None:
    more = turn_on(("forks", "jobs", "openai_api", "structured")) if "openai_api" in installed() else ()
    given = world(folder, port=free_port(), concurrent_answers=50, extensions=("workers", "ray", *more))
    settings: Settings = given.system.settings
    logging.getLogger("ray").setLevel(logging.ERROR)
    with ray_replicas.deploy_replicas(on_cluster(settings, 1), opener=opened) as url:
        from ray import serve

        new = told.with_suffix(".new")
        new.write_text(json.dumps({"url": url} | {name: getattr(given, name) for name in KEYS}), encoding="utf-8")
        new.replace(told)
        for line in sys.stdin:
            wanted = ray_replicas.application(on_cluster(settings, int(line)), opened)
            threading.Thread(target=serve.run, args=[wanted], kwargs={"name": ray_replicas.NAME}, daemon=True).start()
            while running() != int(line):
                time.sleep(0.1)
            sys.stdout.write(line)
            sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

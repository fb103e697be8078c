"""Processes that ask for a refund, or approve one, and are killed on the way.

`python -m tests.doubles.effects_child` reads one order a line from standard input and does each in a process of its own:
{"folder": ..., "act": "ask" | "approve", "id": approval, "point": where to die, "agent": "graph", "idempotent": true}. It prints the steps
of the run as they end, and then how the process ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from foundation.components import Context, load
from foundation.settings import Part
from foundation.types import Principal
from orchestration.actions import Decision
from orchestration.effects.records import Record, Recorders
from orchestration.requests import AnswerRequest
from orchestration.settings import PolicySettings
from serving.settings import Settings, context_of
from tests.doubles.orchestration import World

CUSTOMER = Principal(subject="ilka", tenant="alder-clinics", roles=frozenset({"agent"}))
LEAD = Principal(subject="rufus", tenant="alder-clinics", roles=frozenset({"approver"}))
QUESTION = "Please refund order QM-10017"


def desk(
    folder: Path, agent: str = "graph", *, idempotent: bool = True, database: Path | None = None, **options: Any
) -> World:
    """The desk's tools and their database; everything else is a double, too. `database` is the folder of the desk's own."""
    context = Context(data_dir=database or folder)
    tools = load("orchestration.tools", Part(use="tests.doubles.desk:build"), context)
    for tool in tools:
        tool.metadata |= {"idempotent": idempotent}
    policy = PolicySettings(roles={"agent": tuple(tool.name for tool in tools)})
    world = World(folder, tools=tools, policy=policy, agents=agent, **options)
    world.recorders = Recorders([partial(_write, folder)])
    return world


async def _write(folder: Path, record: Record) -> None:
    """Keep a record where the process that goes on finds those of one that was killed."""
    with (folder / "records.jsonl").open("a", encoding="utf-8") as file:
        file.write(f"{record.model_dump_json()}\n")


def records_in(folder: Path) -> list[Record]:
    return [Record.model_validate_json(line) for line in (folder / "records.jsonl").read_text("utf-8").splitlines()]


def replica(folder: Path, dsn: str, namespace: str, **options: Any) -> World:
    """The desk as a replica of its own folder, on the database that all of them share."""
    chosen = {"use": "postgres", "dsn": dsn, "namespace": namespace}
    records = context_of(Settings(foundation={"data_dir": folder, "records": chosen})).records  # type: ignore[arg-type]
    shared = (records, {"dsn": dsn, "namespace": namespace})
    return desk(folder, database=folder.parent, checkpoints="postgres", shared=shared, **options)


def say(what: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


async def work(order: dict[str, Any]) -> None:
    opened = partial(replica, **order["replica"]) if "replica" in order else desk
    agent = opened(Path(order["folder"]), agent=order.get("agent", "graph"), idempotent=order["idempotent"]).agent()
    if order["act"] == "ask":
        request = AnswerRequest(question=order.get("question", QUESTION), compose=order.get("compose"))
        events = agent.stream(request, CUSTOMER)
    else:
        events = agent.resume(Decision(approval_id=order["id"], approve=True), LEAD)
    async for event in events:
        if event.step:
            say({"step": event.step.name, "thread_id": event.thread_id})


if __name__ == "__main__":
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            os.environ["SIXPLY_CRASH_AT"] = order["point"]
            asyncio.run(work(order))
            os._exit(0)
        say({"ended": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])})

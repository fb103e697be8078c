"""A process that approves a refund and is killed on the way: `python -m tests.doubles.effects_child FOLDER APPROVAL`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from foundation.components import Context, load
from foundation.settings import Part, PolicySettings
from foundation.types import Principal
from orchestration.answering import resume
from orchestration.contract import Decision
from tests.doubles.orchestration import World

CUSTOMER = Principal(subject="ilka", tenant="alder-clinics", roles=frozenset({"agent"}))
LEAD = Principal(subject="rufus", tenant="alder-clinics", roles=frozenset({"approver"}))


def desk(folder: Path, *, idempotent: bool = True) -> World:
    """The support desk's own tools and database; everything else is a double."""
    tools = load("orchestration.tools", Part(use="examples.support_desk.tools:build"), Context(data_dir=folder))
    for tool in tools:
        tool.metadata |= {"idempotent": idempotent}
    return World(folder, tools=tools, policy=PolicySettings(roles={"agent": tuple(tool.name for tool in tools)}))


if __name__ == "__main__":
    world = desk(Path(sys.argv[1]), idempotent=sys.argv[3:] != ["once-only"])
    decision = Decision(approval_id=sys.argv[2], approve=True)
    asyncio.run(resume(world.agent(), decision, LEAD))

"""Conversations as read from the checkpoints: there is no second record that could disagree with them or outlive them.

A conversation is found by a mark on its first checkpoint and belongs to one person of one tenant. Labels such as its title are
metadata of that checkpoint, too, and go with it. Quotes in its answers stay until it is deleted, even if the documents change or go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

from foundation.errors import NotFound
from foundation.stores.erasures import mark_of
from foundation.tracing import trace_id_in
from foundation.types import Principal
from orchestration.events import Conversation, Turn
from orchestration.middleware.policy import approvals_of
from orchestration.run.state import BEGUN_BY, State, day_of, owner_of

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointMetadata, CheckpointTuple

BEFORE_THE_FIRST_NODE = -1
# LangGraph's channel for the values of interrupts
INTERRUPT = "__interrupt__"
# And for the input of a turn
INPUT = "__start__"
# Keys in the metadata of the first checkpoint, beside BEGUN_BY. A link is stored as a mark that opens nothing
TITLE, PINNED, SHARED, SHARED_UNTIL = "title", "pinned", "shared", "shared_until"


@dataclass(frozen=True)
class Conversations:
    """A person's conversations, with an agent's lock of a thread and how it withdraws what waits there. Raises NotFound for somebody else's."""

    checkpoints: BaseCheckpointSaver[Any]
    claim: Callable[[str], AbstractContextManager[None]]
    withdraw: Callable[[str, Principal], Awaitable[None]]

    async def all(self, principal: Principal) -> list[Conversation]:
        """Newest first."""
        first = self.checkpoints.alist(None, filter=_first_of(principal))
        # a graph inside of a graph writes checkpoints of its own, below a name
        own = [entry async for entry in first if not entry.config["configurable"].get("checkpoint_ns")]
        return sorted(map(_conversation, own), key=attrgetter("begun_at", "thread_id"), reverse=True)

    async def turns(self, thread_id: str, principal: Principal) -> list[Turn]:
        """Oldest first."""
        person, turns = await read_conversation(self.checkpoints, thread_id)
        if not turns or (person.tenant, person.subject) != (principal.tenant, principal.subject):
            raise NotFound(f"There is no conversation {thread_id} of yours.")
        return turns

    async def change(
        self, thread_id: str, principal: Principal, *, title: str | None = None, pinned: bool | None = None
    ) -> Conversation:
        """Name or pin a conversation; what is `None` stays. Raises Conflict: it is busy."""
        return await self.label(thread_id, principal, {TITLE: title, PINNED: pinned})

    async def label(self, thread_id: str, principal: Principal, labels: Mapping[str, Any]) -> Conversation:
        """Write the first checkpoint again, with these labels in its metadata; what is `None` stays. Raises Conflict: it is busy."""
        with self.claim(thread_id):  # else it might come back after a deletion
            own = self.checkpoints.alist(_config_of(thread_id), filter=_first_of(principal))
            entries = [entry async for entry in own]
            if not entries:
                raise NotFound(f"There is no conversation {thread_id} of yours.")
            changed = {name: value for name, value in labels.items() if value is not None}
            metadata = cast("CheckpointMetadata", {**entries[0].metadata, **changed})
            await self.checkpoints.aput(_config_of(thread_id), entries[0].checkpoint, metadata, {})
        return _conversation(entries[0]._replace(metadata=metadata))

    async def delete(self, thread_id: str, principal: Principal) -> None:
        """Delete the conversation for good, and withdraw what waits in it. Raises Conflict: it is busy."""
        with self.claim(thread_id):
            await self.withdraw(thread_id, principal)
            await self.checkpoints.adelete_thread(thread_id)


async def begun_by(checkpoints: BaseCheckpointSaver[Any], principal: Principal) -> list[str]:
    """Return the ids of a person's conversations; for operators."""
    first = checkpoints.alist(None, filter=_first_of(principal))
    return [entry.config["configurable"]["thread_id"] async for entry in first]


async def untouched_since(checkpoints: BaseCheckpointSaver[Any], at: datetime) -> list[str]:
    """Return the ids of the conversations without a checkpoint since `at`."""
    latest: dict[str, datetime] = {}
    async for entry in checkpoints.alist(None):
        thread, then = entry.config["configurable"]["thread_id"], datetime.fromisoformat(entry.checkpoint["ts"])
        latest[thread] = max(then, latest.get(thread, then))
    return sorted(thread for thread, then in latest.items() if then < at)


async def read_conversation(checkpoints: BaseCheckpointSaver[Any], thread_id: str) -> tuple[Principal, list[Turn]]:
    """Return the owner and the turns of a conversation; no turns where it does not exist. For operators: nothing is checked."""
    own = checkpoints.alist(_config_of(thread_id))
    newest = ends_of_turns([entry async for entry in own])
    if not newest:
        return Principal("", "", frozenset()), []
    state = cast("State", next(iter(newest.values())).checkpoint["channel_values"])
    return owner_of(state), [turn_of(entry) for entry in reversed(newest.values())]


def ends_of_turns(entries: Iterable[CheckpointTuple]) -> dict[str, CheckpointTuple]:
    """Return the newest checkpoint of each turn by the id of its answer, of all of a conversation, newest first."""
    newest: dict[str, CheckpointTuple] = {}
    for entry in entries:
        values = entry.checkpoint["channel_values"]
        # with the input of the next turn there, what the last one waited for is not
        if (answer_id := values.get("answer_id")) and INPUT not in values:
            newest.setdefault(answer_id, entry)
    return newest


def _config_of(thread_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}


def _first_of(principal: Principal) -> dict[str, Any]:
    return {BEGUN_BY: mark_of(principal), "step": BEFORE_THE_FIRST_NODE}


def _conversation(entry: CheckpointTuple) -> Conversation:
    values, metadata = entry.checkpoint["channel_values"], cast("Mapping[str, Any]", entry.metadata)
    return Conversation(
        thread_id=entry.config["configurable"]["thread_id"],
        question=values.get(INPUT, values)["question"],  # a graph keeps its input there
        begun_at=datetime.fromisoformat(entry.checkpoint["ts"]),
        title=metadata.get(TITLE, ""),
        pinned=metadata.get(PINNED, False),
        shared=bool(metadata.get(SHARED)),
    )


def turn_of(stored: CheckpointTuple) -> Turn:
    values = stored.checkpoint["channel_values"]
    interrupts = [value for _, channel, value in stored.pending_writes or () if channel == INTERRUPT]
    paused = [
        item.value
        for several in interrupts
        for item in several
        if isinstance(item.value, dict) and "text" in item.value
    ]
    decided = min(approvals_of(values.get("messages") or []), default=None)
    unfinished = {"status": "waiting" if paused else "unfinished", "text": "\n\n".join(item["text"] for item in paused)}
    return Turn(
        **(values.get("result") or unfinished),
        answer_id=values["answer_id"],
        question=values["question"],
        at=datetime.fromisoformat(stored.checkpoint["ts"]),
        as_of=day_of(cast("State", values)),
        trace_id=trace_id_in(values.get("trace") or ""),
        approval_id=values.get("approval_id") or (paused[0]["approval_id"] if paused else None) or decided,
    )

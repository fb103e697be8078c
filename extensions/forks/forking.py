"""A copy of a conversation up to an answer: the checkpoints in which its turns ended, below an id of its own.

No run goes on in the copy, so nothing is called or done by making it.
"""

from collections.abc import Collection, Sequence
from typing import Any, cast
from uuid import uuid4

from langchain_core.messages import AnyMessage

from foundation.clock import Clock
from foundation.errors import Conflict, NotFound
from foundation.types import Principal
from orchestration.events import Conversation, Turn
from orchestration.flow.base_agent import config_of
from orchestration.flow.beside import calls_beside, note_of
from orchestration.memory.conversations import PINNED, SHARED, SHARED_UNTIL, Conversations, ends_of_turns
from orchestration.middleware.policy import recorded_outcomes

# Most characters that the copy is told of one action
OUTCOME = 600
# What is said of the conversation and not of its copy: its link opens it alone
OWN_LABELS = frozenset({PINNED, SHARED, SHARED_UNTIL})


async def fork_conversation(
    conversations: Conversations,
    thread_id: str,
    principal: Principal,
    *,
    after: str | None,
    effects: Collection[str],
    clock: Clock,
    copy_id: str = "",
) -> Conversation:
    """Copy the conversation up to the answer of this id, the last one if `None`. `effects` are the names of tools that act, and
    `copy_id` is the id of the copy, a new one if empty.

    Raises NotFound: it is not theirs, or has no such answer. Conflict: it is busy, that turn has not ended, or nobody knows what
    was done after it.
    """
    with conversations.claim(thread_id):
        turns = await conversations.turns(thread_id, principal)
        kept = _turns_up_to(after, turns)
        entries = [entry async for entry in conversations.checkpoints.alist(config_of(thread_id))]
    ends = ends_of_turns(entries)
    copied = [entries[-1], *(ends[turn.answer_id] for turn in kept)]
    left_out = [turn.answer_id for turn in turns[len(kept) :]]
    note = _note_on(copied[-1], entries[0], left_out, effects)
    new = Conversation(thread_id=copy_id or uuid4().hex, question=turns[0].question, begun_at=clock.now())
    parent: Any = config_of(new.thread_id)
    for place, entry in enumerate(copied):
        metadata = {name: value for name, value in entry.metadata.items() if name not in OWN_LABELS}
        values = {**entry.checkpoint["channel_values"], "thread_id": new.thread_id}
        if entry is copied[-1] and note:
            values |= {"messages": [*values["messages"], note], "approval_id": kept[-1].approval_id or ""}
        checkpoint = {**entry.checkpoint, "channel_values": values}
        if place == 0:  # which says when a conversation began, and that it is new to the rules of how long one is kept
            checkpoint["ts"] = new.begun_at.isoformat()
        versions = entry.checkpoint["channel_versions"]
        parent = await conversations.checkpoints.aput(parent, cast("Any", checkpoint), cast("Any", metadata), versions)
    return new


def _turns_up_to(after: str | None, turns: Sequence[Turn]) -> Sequence[Turn]:
    ids = [turn.answer_id for turn in turns]
    if after is not None and after not in ids:
        raise NotFound(f"The conversation has no answer {after}. Its answers have these ids: {', '.join(ids[-20:])}.")
    kept = turns if after is None else turns[: ids.index(after) + 1]
    if kept[-1].status in ("waiting", "unfinished"):
        raise Conflict(
            f"The answer {kept[-1].answer_id} is {kept[-1].status}, and a copy cannot go on from there. Wait for it, or name an "
            "earlier answer in `after`."
        )
    return kept


def _note_on(last: Any, newest: Any, left_out: Sequence[str], effects: Collection[str]) -> Any:
    """Return the message by which the copy knows what was done after its last answer; `None` where nothing can have been."""
    kept: Sequence[AnyMessage] | None = last.checkpoint["channel_values"].get("messages")
    if kept is None and left_out:
        raise Conflict(
            "This agent does not keep what it did with the conversation, so that it cannot go on from an earlier answer. Copy the "
            "whole conversation: leave `after` out."
        )
    beside = [waiting["run_id"] for waiting in calls_beside(kept or ()).values()]
    if not (left_out or beside):
        return None
    ids = {message.id for message in kept or ()}
    messages = newest.checkpoint["channel_values"].get("messages", [])
    outcomes = recorded_outcomes([message for message in messages if message.id not in ids])
    done = [f"- {it.tool}: {it.content[:OUTCOME]}" for it in outcomes if it.status == "done" and it.tool in effects]
    said = (
        "\n".join(["The person went back to here. After this point these actions were done, and stay done:", *done])
        if done
        else "The person went back to here. After this point no action was done."
    )
    return note_of(said, taken_back=[*left_out, *beside])

"""How a conversation goes on from an earlier response, as at OpenAI: in a copy that ends with it.

The copies of one response are numbered, so that a request which is sent again after it failed goes on in the copy that it had begun.
"""

from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from uuid import NAMESPACE_URL, uuid5

from extensions.forks.actions import can_go_on
from extensions.forks.routes import copy_conversation
from foundation.errors import Conflict, NotFound
from foundation.types import Principal
from orchestration.events import Turn
from orchestration.flow.base_agent import config_of
from orchestration.memory.conversations import Conversations, turn_of
from orchestration.requests import AnswerRequest
from orchestration.run.wrapping import innermost
from serving.runtime import Runtime


async def go_on_from(answer_id: str, wanted: AnswerRequest, caller: Principal, runtime: Runtime) -> AnswerRequest:
    """Return the request as it goes on from this answer of its conversation: there, or in a copy if others were asked for since.

    The agent refuses a conversation that is not the caller's. Raises Conflict: the conversation is busy, or the agent cannot go on
    from an earlier answer.
    """
    conversations: Conversations | None = getattr(innermost(runtime.system.agent, caller), "conversations", None)
    thread_id = wanted.thread_id or ""
    last = await _last_turn(thread_id, conversations) if conversations else None
    if conversations is None or last is None or last.answer_id == answer_id:
        return wanted
    turns: list[Turn] = []
    with suppress(NotFound):
        turns = await conversations.turns(thread_id, caller)
    if not _has_gone_on(answer_id, turns):
        return wanted
    if not can_go_on(runtime.system, caller):
        raise Conflict(
            "The conversation has gone on since that response, and this agent keeps no messages with which to go on from an earlier "
            f'one. Go on from its latest response, "resp_{thread_id}.{turns[-1].answer_id}", or from an earlier one with a chat model '
            "that calls tools (docs/models.md)."
        )
    copy_id = await _copy_for(answer_id, wanted, conversations, caller, runtime)
    return wanted.model_copy(update={"thread_id": copy_id})


def _has_gone_on(answer_id: str, turns: Sequence[Turn]) -> bool:
    """Whether another question was answered after this answer. One that waits, or was cut off, goes on where it is."""
    places = [place for place, turn in enumerate(turns) if turn.answer_id == answer_id]
    if not places or turns[places[0]].status in ("waiting", "unfinished"):
        return False
    later = enumerate(turns[places[0] + 1 :], start=places[0] + 1)
    # a run that failed has given no response from which to go on: its question may be sent again
    return any(turn.status != "unfinished" and not _is_outcome(turn, turns[:place]) for place, turn in later)


def _is_outcome(turn: Turn, before: Sequence[Turn]) -> bool:
    """Whether a turn tells what came of an earlier one that waited, and is no question of its own."""
    return bool(turn.approval_id) and any(
        (earlier.approval_id, earlier.question) == (turn.approval_id, turn.question) for earlier in before
    )


async def _copy_for(
    answer_id: str, wanted: AnswerRequest, conversations: Conversations, caller: Principal, runtime: Runtime
) -> str:
    """Return the first copy in which this question waits or was cut off, or nothing was asked yet; a new one if there is none."""
    thread_id = wanted.thread_id or ""
    numbers = count(1)
    while True:
        copy_id = uuid5(NAMESPACE_URL, f"{thread_id}.{answer_id}.{next(numbers)}").hex
        with conversations.claim(copy_id):
            last = await _last_turn(copy_id, conversations)
            if last is None:
                await copy_conversation(thread_id, answer_id, caller, runtime, copy_id=copy_id)
                return copy_id
        asked_again = last.status in ("waiting", "unfinished") and last.question == wanted.question.strip()
        if asked_again or last.answer_id == answer_id:
            return copy_id


async def _last_turn(thread_id: str, conversations: Conversations) -> Turn | None:
    stored = await conversations.checkpoints.aget_tuple(config_of(thread_id))
    return turn_of(stored) if stored and stored.checkpoint["channel_values"].get("answer_id") else None

"""What waits for an approval, in the terms of the vendors' clients: an item that can be withdrawn, and what came of it since."""

import json
import re
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage

from foundation.types import Principal
from orchestration.actions import Approval
from orchestration.effects.policy import is_same_person
from orchestration.events import Answer, Turn
from orchestration.flow.beside import note_of
from orchestration.requests import AnswerRequest
from serving.api.conversations import require_conversations
from serving.runtime import Runtime

# As it stands below an answer, so that a client which sends all messages of a conversation sends it back
WAITING = "Waiting for approval {}."
_NAMED = re.compile(re.escape(WAITING).replace(r"\{\}", "(ap-[0-9a-z]+)"))


async def tell_outcomes(wanted: AnswerRequest, caller: Principal, runtime: Runtime) -> AnswerRequest:
    """Return the request with a note behind each message that names an approval of the caller's: what came of it since."""
    messages: list[AnyMessage] = []
    told = set[str]()
    for message in wanted.messages:
        messages.append(message)
        named = _NAMED.findall(message.text) if isinstance(message, AIMessage) and not message.tool_calls else ()
        for approval_id in dict.fromkeys(named):
            approval = await own_approval(approval_id, caller, runtime)
            if approval and approval_id not in told:
                told.add(approval_id)
                messages.append(note_of(await _outcome_of(approval, caller, runtime)))
    return wanted.model_copy(update={"messages": tuple(messages)})


async def own_approval(approval_id: str, caller: Principal, runtime: Runtime) -> Approval | None:
    """Return an approval that the caller asked for; `None`: there is none."""
    approval = await runtime.system.orchestration.approvals.get(approval_id, caller.tenant)
    return approval if approval and is_same_person(approval.requested_by, caller.subject) else None


async def _outcome_of(approval: Approval, caller: Principal, runtime: Runtime) -> str:
    asked = f"What waited was: {approval.reason}"
    if approval.status == "pending":
        return f"{asked} It still waits for the approval of a colleague; nothing has been done yet."
    if approval.status == "expired":
        return f"{asked} Nobody decided in time; nothing was done."
    turns = await require_conversations(runtime, caller).turns(approval.thread_id, caller)
    told = [turn.text for turn in turns if turn.approval_id == approval.approval_id and turn.status != "waiting"]
    return f"{asked} {approval.decided_by} decided since, and this came of it: {told[-1] if told else approval.status}"


def item_of(answer: Answer) -> list[dict[str, Any]]:
    """Return the item of the Responses API for what an answer waits for, in a list; none where it waits for nobody."""
    approval = answer.approval
    if approval is None or answer.status != "waiting":
        return []
    arguments = json.dumps(approval.arguments)
    named = {"id": approval.approval_id, "name": approval.tool, "arguments": arguments, "server_label": "sixply"}
    return [{"type": "mcp_approval_request", **named}]


async def answer_in(turns: list[Turn], answer_id: str, caller: Principal, runtime: Runtime) -> Answer | None:
    """Return the answer of a stored turn as it is now: of one that waited, what came of it."""
    first = next((turn for turn in turns if turn.answer_id == answer_id), None)
    if first is None:
        return None
    same = [turn for turn in turns if turn.approval_id and turn.approval_id == first.approval_id]
    turn = (same or [first])[-1]
    approval = await own_approval(turn.approval_id, caller, runtime) if turn.approval_id else None
    details = turn.model_dump(exclude={"status", "at", "approval_id", "answer_id"})
    return Answer(
        answer_id=answer_id,
        thread_id="",
        status="answered" if turn.status == "unfinished" else turn.status,
        stop_reason="approval" if turn.status == "waiting" else "complete",
        approval=approval,
        **details,
    )

"""Calls that wait for an approval beside their conversation, which goes on: how the model is told of one, and of what came of it."""

from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import ToolCall as ToolCallDict

from orchestration.middleware.policy import artifact_of
from orchestration.run.metered_chat import NOTE

NOBODY_DECIDED = "Nothing was done: this call was given up before anybody had decided on it or sent its result."
MEANWHILE = "The person goes on meanwhile. You are told here what comes of it; do not make this call again."
# Most characters of an outcome that a note has
OUTCOME = 4_000


def end_calls(state: Mapping[str, Any], waiting: Mapping[str, Mapping[str, str]]) -> list[ToolMessage]:
    """Return a result for each call of a run that was left, as its conversation goes on: what it gave, that it waits, or that it was
    given up. `waiting` are the interrupts of calls that can still be decided, or were and have not been carried out, by the call's id.
    """
    messages: Sequence[AnyMessage] = state.get("messages", [])
    # only the model's last message can have calls without a result; servers use an id twice
    last = max((place for place, message in enumerate(messages) if isinstance(message, AIMessage)), default=0)
    calls: Sequence[ToolCallDict] = getattr(messages[last], "tool_calls", ()) if messages else ()
    given = {message.tool_call_id: message for message in messages[last:] if isinstance(message, ToolMessage)}
    if all(call["id"] in given for call in calls):
        return []
    # those that there are as well: LangGraph forgets what was done beside a call that waits
    return [given.get(call["id"] or "") or _end(call, state, waiting) for call in calls]


def _end(call: ToolCallDict, state: Mapping[str, Any], waiting: Mapping[str, Mapping[str, str]]) -> ToolMessage:
    content, artifact, call_id = NOBODY_DECIDED, None, call["id"] or ""
    if paused := waiting.get(call_id):
        whose = {"run_id": state.get("answer_id", ""), "question": state.get("question", "")}
        artifact = {"beside": {"approval_id": paused["approval_id"], "call": call, **whose}}
        content = f"{paused['text']} {MEANWHILE}"
    return ToolMessage(content, name=call["name"], tool_call_id=call_id, status="error", artifact=artifact)


def calls_beside(messages: Sequence[AnyMessage]) -> dict[str, dict[str, Any]]:
    """Return the calls that wait beside the conversation, by their approval: the call, its run and the run's question."""
    waiting: dict[str, dict[str, Any]] = {}
    for message in messages:
        artifact = artifact_of(message)
        waiting.pop(artifact.get("approval_id", ""), None)
        if beside := artifact.get("beside"):
            waiting[beside["approval_id"]] = beside
    return waiting


def tell_outcome(call: ToolCallDict, result: ToolMessage, approval_id: str) -> HumanMessage:
    """Return the message that tells the model what came of a call that had waited."""
    text = f"[From the system, not from the person: this is what came of {call['name']}, which waited.] {result.text[:OUTCOME]}"
    return _note(text, artifact_of(result) | {"approval_id": approval_id})


def note_of(text: str, **artifact: Any) -> HumanMessage:
    """Return a message of the system's, which is no word of the person's."""
    return _note(f"[From the system, not from the person.] {text}", artifact)


def runs_taken_back(messages: Sequence[AnyMessage]) -> tuple[str, ...]:
    """Return the runs that notes in the conversation say are no part of it any more."""
    return tuple(run_id for message in messages for run_id in artifact_of(message).get("taken_back", ()))


def _note(text: str, artifact: dict[str, Any]) -> HumanMessage:
    return HumanMessage(text, id=f"{NOTE}{uuid4().hex}", **cast("Any", {"artifact": artifact} if artifact else {}))

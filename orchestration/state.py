"""What a run knows and what came of it, as plain data that any checkpointer can keep.

Passages are not among it: what a person may read is asked again when a run goes on.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TypedDict
from uuid import uuid4

from foundation.types import Principal
from orchestration.contract import ToolOutcome
from retrieval.contract import Citation

NOTHING_FOUND = "I could not find this in the documents that you may read."


class Result(TypedDict):
    """The part of an Answer that the graph decides, as plain data."""

    status: str
    stop_reason: str
    text: str
    path: str
    citations: list[dict[str, Any]]


class State(TypedDict, total=False):
    owner: dict[str, Any]
    turns: list[dict[str, str]]
    clarifying: dict[str, Any]
    """The request that a question back was asked about: question, tool, missing."""

    answer_id: str
    thread_id: str
    question: str
    compose: str
    plan: dict[str, Any]
    query: str
    rewrites: int
    confidence: float
    gate: str
    approval_id: str
    trace: str
    """Where the run began, as a `traceparent`: what goes on later, in whatever process, belongs to the same trace."""
    steps: list[dict[str, Any]]
    """What this run has done so far, in this process or in one that was killed."""
    result: Result | None


def fresh(question: str, compose: str, thread_id: str, principal: Principal) -> State:
    owner = {
        "subject": principal.subject,
        "tenant": principal.tenant,
        "roles": sorted(principal.roles),
        "groups": sorted(principal.groups),
    }
    return {
        "owner": owner,
        "answer_id": uuid4().hex,
        "thread_id": thread_id,
        "question": question,
        "compose": compose,
        "plan": {},
        "query": question,
        "rewrites": 0,
        "confidence": 0.0,
        "gate": "",
        "approval_id": "",
        "trace": "",
        "steps": [],
        "result": None,
    }


def owner_of(state: State) -> Principal:
    owner = state["owner"]
    return Principal(
        subject=owner["subject"],
        tenant=owner["tenant"],
        roles=frozenset(owner["roles"]),
        groups=frozenset(owner["groups"]),
    )


def status_of(state: State) -> str:
    result = state.get("result")
    return result["status"] if result else ""


def as_result(
    status: str, stop_reason: str, text: str, path: str = "none", citations: tuple[Citation, ...] = ()
) -> Result:
    plain = [asdict(citation) for citation in citations]
    return {"status": status, "stop_reason": stop_reason, "text": text, "path": path, "citations": plain}


def abstained(text: str) -> Result:
    return as_result("abstained", "insufficient_evidence", text)


def result_of(outcome: ToolOutcome) -> Result:
    if outcome.status == "failed":
        told = outcome.reason in {"tool", "arguments"}  # the tool itself says that it cannot be done, and why
        return abstained(outcome.content) if told else as_result("failed", "error", outcome.content)
    status, stop_reason, path = {
        "done": ("answered", "complete", "tool"),
        "waiting": ("waiting", "approval", "tool"),
        "denied": ("refused", "policy", "none"),
    }[outcome.status]
    return as_result(status, stop_reason, outcome.content, path)


def what_came(outcome: ToolOutcome) -> str:
    return f"{outcome.status} ({outcome.reason})" if outcome.reason else outcome.status

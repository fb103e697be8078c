"""What a run knows and what came of it, as plain data that any checkpointer can keep.

Passages are not among it: what a person may read is asked again when a run goes on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Annotated, Any, NotRequired, cast
from uuid import uuid4

from typing_extensions import TypedDict  # `create_agent` builds on this one

from foundation.types import Principal
from orchestration.actions import ToolOutcome
from orchestration.events import NearDocument
from orchestration.requests import Plan
from retrieval.contract import Citation


class Result(TypedDict):
    """The part of an Answer that the graph decides."""

    status: str
    stop_reason: str
    text: str
    path: str
    citations: list[dict[str, Any]]
    nearest: NotRequired[list[dict[str, Any]]]
    """Documents to look at, where the evidence was too thin."""
    is_json: NotRequired[bool]
    """The text is the JSON that a client asked for."""


class Done(TypedDict):
    """What came of one step of the plan. `outcome` is the executor's, where a tool was called."""

    result: Result
    outcome: dict[str, Any] | None


def merge_done(old: dict[str, Done], new: dict[str, Done] | None) -> dict[str, Done]:
    """What steps that run side by side add; `None` begins anew."""
    return {} if new is None else {**old, **new}


def longer(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Steps that ran side by side each tell of all that had ended by then; none begins anew."""
    return new if not new or len(new) > len(old) else old


class State(TypedDict, total=False):
    owner: dict[str, Any]
    turns: list[dict[str, str]]
    """The last questions and answers of the conversation; `summary` has what is left of those before them."""
    summary: list[str]
    clarifying: dict[str, Any]
    """The request that a question back was asked about: question, asked (word for word), tool, missing."""

    answer_id: str
    thread_id: str
    question: str
    asked: str
    """The request word for word: the question, below the one that it completes where it answers a question back."""
    known: list[dict[str, Any]]
    """What is remembered of the person, as it was when they asked."""
    client: dict[str, Any]
    """What the program through which the person asks wants of this request: `ClientOptions`."""
    compose: str
    as_of: str
    """The day whose versions of the documents are asked for; empty: today's."""
    plan: dict[str, Any]
    started: list[str]
    """Steps of the plan that have been begun."""
    batch: list[str]
    """Tool steps to begin now, side by side."""
    asking: list[str]
    """Steps that the documents are being searched for; `query` is their question."""
    done: Annotated[dict[str, Done], merge_done]
    step: str
    """The tool step that a branch works on."""
    part: Result | None
    """What the documents gave for `asking`."""
    legs: list[str]
    """What is searched for beside the query: the single questions of one that holds several, and a follow-up as asked."""
    query: str
    rewrites: int
    confidence: float
    gate: str
    approval_id: str
    trace: str
    """Where the run began, as a `traceparent`: what goes on later, in whatever process, belongs to the same trace."""
    steps: Annotated[list[dict[str, Any]], longer]
    """What this run has done so far, in this process or in one that was killed."""
    waiting: str
    """The step that the approval is for."""
    since: int
    """The ledger's sequence before anything was looked up in it."""
    cached: str
    """How the result was recalled from an earlier answer: exact or semantic; empty: it was made."""
    first_answer_id: str
    result: Result | None


def fresh(question: str, compose: str, thread_id: str, principal: Principal, as_of: date | None) -> State:
    roles, groups = sorted(principal.roles), sorted(principal.groups)
    empty: dict[str, Any] = {
        **{key: [] for key in ("known", "started", "batch", "asking", "legs", "steps")},
        **dict.fromkeys(("gate", "approval_id", "trace", "waiting", "cached", "first_answer_id"), ""),
        **dict.fromkeys(("done", "part", "result")),
    }
    new: State = {
        "owner": {"subject": principal.subject, "tenant": principal.tenant, "roles": roles, "groups": groups},
        "answer_id": uuid4().hex,
        "thread_id": thread_id,
        "question": question,
        "asked": question,
        "query": question,
        "client": {},
        "plan": {},
        "compose": compose,
        "as_of": as_of.isoformat() if as_of else "",
        "rewrites": 0,
        "confidence": 0.0,
        "since": 0,
    }
    return cast("State", empty | new)


@dataclass(frozen=True, slots=True)
class StoredThread:
    """What is stored of a conversation."""

    state: State
    """Empty where nothing is."""
    waits: bool = False
    """The run waits for a person."""
    waits_for: frozenset[str] = frozenset()
    """Ids of the approvals that the run waits for; of one that was cut off, those that it went on from."""
    unfinished: bool = False
    """The last run has not come to its end: it waits, or was cut off."""
    calls: frozenset[str] = frozenset()
    """Ids of the calls whose results the run waits for from the client."""

    def belongs_to(self, principal: Principal) -> bool:
        owner = self.state.get("owner", {})
        return (owner.get("tenant"), owner.get("subject")) == (principal.tenant, principal.subject)


def owner_of(state: State) -> Principal:
    owner = state["owner"]
    return Principal(owner["subject"], owner["tenant"], frozenset(owner["roles"]), frozenset(owner["groups"]))


def day_of(state: State) -> date | None:
    """The day whose versions are asked for; `None`: today's."""
    day = state.get("as_of")
    return date.fromisoformat(day) if day else None


def status_of(state: State) -> str:
    result = state.get("result")
    return result["status"] if result else ""


def as_result(
    status: str, stop_reason: str, text: str, path: str = "none", citations: tuple[Citation, ...] = ()
) -> Result:
    plain = [asdict(citation) for citation in citations]
    return {"status": status, "stop_reason": stop_reason, "text": text, "path": path, "citations": plain}


def combine_results(plan: Plan, results: Mapping[str, Result]) -> Result | None:
    """One result of those of the steps, in the order of the plan: their texts below each other, citations renumbered.

    It waits while one of them does; it is answered where one was; else the last one tells why not. `None`: there is none.
    """
    parts: list[Result] = []
    repeated = {step.step_id.removesuffix("b") for step in plan.steps if step.step_id.endswith("b")}  # told once
    for step in plan.steps:
        result = results.get(step.step_id)
        if (
            result is not None and step.step_id not in repeated and result not in parts
        ):  # a search may serve several steps
            parts.append(result)
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    texts: list[str] = []
    citations: list[dict[str, Any]] = []
    for part in parts:
        by = len(citations)
        texts.append(re.sub(r"\[([1-9]\d?)\]", lambda match: f"[{int(match.group(1)) + by}]", part["text"]))  # noqa: B023
        citations += [{**item, "marker": item["marker"] + len(citations)} for item in part["citations"]]
    deciding = next(
        (part for status in ("waiting", "answered") for part in parts if part["status"] == status), parts[-1]
    )
    paths = [part["path"] for part in parts if part["path"] != "none"]
    path = next((path for path in paths if path != "tool"), paths[0] if paths else "none")
    near = {item["document_id"]: item for part in parts for item in part.get("nearest", [])}
    return {**deciding, "text": "\n\n".join(texts), "path": path, "citations": citations, "nearest": [*near.values()]}


def abstain(text: str, nearest: Sequence[NearDocument] = ()) -> Result:
    result = as_result("abstained", "insufficient_evidence", text)
    return {**result, "nearest": [document.model_dump() for document in nearest]}


def result_of(outcome: ToolOutcome) -> Result:
    if outcome.status == "failed":
        tool_says = outcome.reason in {"tool", "arguments"}  # the tool itself says that it cannot be done, and why
        return abstain(outcome.content) if tool_says else as_result("failed", "error", outcome.content)
    status, stop_reason, path = {
        "done": ("answered", "complete", "tool"),
        "waiting": ("waiting", "approval", "tool"),
        "denied": ("refused", "policy", "none"),
    }[outcome.status]
    return as_result(status, stop_reason, outcome.content, path)


def outcome_label(outcome: ToolOutcome) -> str:
    return f"{outcome.status} ({outcome.reason})" if outcome.reason else outcome.status

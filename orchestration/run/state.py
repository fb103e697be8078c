"""The state of a run and its result, as plain data that any checkpointer can store; it holds no passages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
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
    """The fields of an `Answer` that the agent decides."""

    status: str
    stop_reason: str
    text: str
    path: str
    citations: list[dict[str, Any]]
    nearest: NotRequired[list[dict[str, Any]]]
    is_json: NotRequired[bool]


class Done(TypedDict):
    """The result of one step of the plan. `outcome` is the executor's; `None` where no tool was called."""

    result: Result
    outcome: dict[str, Any] | None


def merge_done(old: dict[str, Done], new: dict[str, Done] | None) -> dict[str, Done]:
    """Merge the results of parallel steps; `None` empties them."""
    return {} if new is None else {**old, **new}


def longer(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep the longer list of steps: each parallel step reports all that had ended by then. An empty list starts over."""
    return new if not new or len(new) > len(old) else old


class State(TypedDict, total=False):
    owner: dict[str, Any]
    turns: list[dict[str, str]]
    """The last questions and answers of the conversation; `summary` holds what is kept of earlier ones."""
    summary: list[str]
    clarifying: dict[str, Any]
    """The request that a question back asks to complete: question, asked (word for word), tool, missing; empty: none."""

    answer_id: str
    thread_id: str
    question: str
    asked: str
    """The request word for word: the question, and above it the one that it completes after a question back."""
    known: list[dict[str, Any]]
    """Remembered facts about the person, as of the time of the question."""
    client: dict[str, Any]
    compose: str
    as_of: str
    plan: dict[str, Any]
    started: list[str]
    batch: list[str]
    """Ids of the steps to begin now, in parallel."""
    asking: list[str]
    """Ids of the steps that are being answered from documents; `query` is their question."""
    done: Annotated[dict[str, Done], merge_done]
    step: str
    part: Result | None
    """The result from documents for the steps in `asking`; `None`: none yet."""
    legs: list[str]
    """Searches beside the query: the single questions of a compound one, and a follow-up word for word."""
    query: str
    rewrites: int
    confidence: float
    gate: str
    approval_id: str
    trace: str
    """The `traceparent` of the run's beginning, so that a resumed run, in any process, joins the same trace."""
    steps: Annotated[list[dict[str, Any]], longer]
    """Steps of this run so far, in this process or in one that was killed."""
    waiting: str
    """Id of the step that waits for the approval."""
    since: int
    """The ledger's sequence before the first search of this run."""
    cached: str
    first_answer_id: str
    result: Result | None


_answer_id: ContextVar[str] = ContextVar("answer_id", default="")


@contextmanager
def one_answer() -> Iterator[None]:
    """Give all runs that begin inside one answer id, so that the cost of trials belongs to the answer that they led to."""
    token = _answer_id.set(uuid4().hex)
    try:
        yield
    finally:
        _answer_id.reset(token)


def fresh(question: str, compose: str, thread_id: str, principal: Principal, as_of: date | None) -> State:
    """Return the state in which a run begins; what it does not name stays from the turn before."""
    roles, groups = sorted(principal.roles), sorted(principal.groups)
    new: dict[str, Any] = {
        # by name: the credential must not be stored
        "owner": {"subject": principal.subject, "tenant": principal.tenant, "roles": roles, "groups": groups},
        "answer_id": _answer_id.get() or uuid4().hex,
        "thread_id": thread_id,
        **dict.fromkeys(("question", "asked", "query"), question),
        "compose": compose,
        "as_of": as_of.isoformat() if as_of else "",
        **{key: {} for key in ("client", "plan")},
        **{key: [] for key in ("known", "started", "batch", "asking", "legs", "steps")},
        **dict.fromkeys(("gate", "approval_id", "trace", "waiting", "cached", "first_answer_id"), ""),
        **dict.fromkeys(("rewrites", "confidence", "since"), 0),
        **dict.fromkeys(("done", "part", "result")),
    }
    return cast("State", new)


@dataclass(frozen=True, slots=True)
class StoredThread:
    """The stored state of a conversation, and what its last run waits for."""

    state: State
    waits: bool = False
    """Whether the run waits for a person or for results of the client."""
    waits_for: frozenset[str] = frozenset()
    """Ids of the approvals that the run waits for; after a cut-off, those that it had resumed from."""
    unfinished: bool = False
    """Whether the last run has not ended: it waits, or was cut off."""
    calls: frozenset[str] = frozenset()

    def belongs_to(self, principal: Principal) -> bool:
        owner = self.state.get("owner", {})
        return (owner.get("tenant"), owner.get("subject")) == (principal.tenant, principal.subject)


def owner_of(state: State) -> Principal:
    owner = state["owner"]
    return Principal(owner["subject"], owner["tenant"], frozenset(owner["roles"]), frozenset(owner["groups"]))


def day_of(state: State) -> date | None:
    """Return the day whose versions of the documents are searched; `None`: today."""
    day = state.get("as_of")
    return date.fromisoformat(day) if day else None


def waits_for_of(state: State) -> frozenset[str]:
    """Return the approval for which a planned run waits or waited: it has one at a time."""
    return frozenset(filter(None, [state.get("approval_id")]))


def status_of(state: State) -> str:
    result = state.get("result")
    return result["status"] if result else ""


def as_result(
    status: str, stop_reason: str, text: str, path: str = "none", citations: tuple[Citation, ...] = ()
) -> Result:
    plain = [asdict(citation) for citation in citations]
    return {"status": status, "stop_reason": stop_reason, "text": text, "path": path, "citations": plain}


def combine_results(plan: Plan, results: Mapping[str, Result]) -> Result | None:
    """Combine the results of the steps in the order of the plan: texts below each other, citations renumbered. `None`: no
    results. The status is "waiting" if one of them is, else "answered" if one is, else that of the last.
    """
    parts: list[Result] = []
    for step in plan.steps:
        result = results.get(step.step_id)
        # told once, since one search may serve several steps
        if result is not None and result not in parts:
            parts.append(result)
    if len(parts) < 2:
        return parts[0] if parts else None
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

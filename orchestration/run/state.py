"""The state of a run and its result, as plain data that any checkpointer can store; it holds no passages."""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Annotated, Any, NotRequired, cast
from uuid import uuid4

from typing_extensions import TypedDict  # `create_agent` builds on this one

from foundation.types import Principal
from orchestration.actions import ToolOutcome
from orchestration.events import Charge, NearDocument
from retrieval.documents import Citation


class Result(TypedDict):
    """The fields of an `Answer` that the agent decides."""

    status: str
    stop_reason: str
    text: str
    path: str
    citations: list[dict[str, Any]]
    nearest: NotRequired[list[dict[str, Any]]]
    unsupported: NotRequired[list[dict[str, Any]]]
    worked_out: NotRequired[list[dict[str, Any]]]
    is_json: NotRequired[bool]
    calls: NotRequired[list[dict[str, Any]]]
    band: NotRequired[str]
    confidence: NotRequired[float]


def longer(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep the longer list of steps: each parallel step reports all that had ended by then. An empty list starts over."""
    return new if not new or len(new) > len(old) else old


class State(TypedDict, total=False):
    owner: dict[str, Any]
    turns: list[dict[str, str]]
    """The last questions and answers of a conversation with an agent that keeps no messages."""
    answer_id: str
    thread_id: str
    question: str
    client: dict[str, Any]
    compose: str
    model: str
    as_of: str
    confidence: float
    approval_id: str
    trace: str
    """The `traceparent` of the run's beginning, so that a resumed run, in any process, joins the same trace."""
    steps: Annotated[list[dict[str, Any]], longer]
    """Steps of this run so far, in this process or in one that was killed."""
    result: Result | None


# Key in the metadata of checkpoints: the mark of the person who began the conversation
BEGUN_BY = "begun_by"
# The id of all answers that begin inside, and all their charges: a cascade's trials belong to the answer that they led to
answer_id_of_all: ContextVar[str] = ContextVar("answer_id", default="")
charges_of_all: ContextVar[list[Charge] | None] = ContextVar("charges", default=None)


def fresh(question: str, compose: str, thread_id: str, principal: Principal, as_of: date | None) -> State:
    """Return the state in which a run begins; what it does not name stays from the turn before."""
    roles, groups = sorted(principal.roles), sorted(principal.groups)
    new: dict[str, Any] = {
        # by name: the credential must not be stored
        "owner": {"subject": principal.subject, "tenant": principal.tenant, "roles": roles, "groups": groups},
        "answer_id": answer_id_of_all.get() or uuid4().hex,
        "thread_id": thread_id,
        "question": question,
        "compose": compose,
        "as_of": as_of.isoformat() if as_of else "",
        "client": {},
        "steps": [],
        "confidence": 0,
        **dict.fromkeys(("approval_id", "model", "trace"), ""),
        "result": None,
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
    beside: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Calls that wait while the conversation goes on, by the ids of their approvals."""

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


def as_result(
    status: str, stop_reason: str, text: str, path: str = "none", citations: tuple[Citation, ...] = ()
) -> Result:
    plain = [asdict(citation) for citation in citations]
    return {"status": status, "stop_reason": stop_reason, "text": text, "path": path, "citations": plain}


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

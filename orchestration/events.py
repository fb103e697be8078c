"""Events of a run, the answer, conversations, and charges for the costs."""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field, PrivateAttr

from foundation.errors import SixplyError
from foundation.output.money import Usd
from foundation.tracing import trace_id
from foundation.types import Layer, Usage
from models.contract import Call, Price
from orchestration.actions import Approval
from orchestration.requests import Noun
from retrieval.documents import Citation

Status = Literal["answered", "abstained", "refused", "waiting", "escalated", "failed"]
StopReason = Literal[
    "complete", "length", "insufficient_evidence", "policy", "approval", "tool_calls", "budget", "error", "cancelled"
]
Path = Literal["extractive", "generative", "tool", "none"]
Band = Literal["answered", "closest", "not_found"]
DraftOutcome = Literal["shown", "marked", "discarded", "refused"]


class Step(Noun):
    """One visible step of a run and its outcome."""

    name: str
    detail: str = ""
    outcome: Literal["done", "failed", "skipped", "waiting"] = "done"
    ms: float = 0.0


class NearDocument(Noun):
    """A document near the question, none of whose sentences was certain enough to quote."""

    document_id: str
    uri: str
    title: str


class Unsupported(Noun):
    """A statement of an answer that has something in it that was not read; marked `[?]` in the text."""

    text: str
    reason: str
    """A stable word: unknown_marker, quotation, figure, identifier; of a planned agent also name, denied, unsupported."""
    detail: str = ""


class WorkedOut(Noun):
    """A figure of an answer that follows from what was read, and how: `300` and `2 × 150`."""

    figure: str
    working: str


class ToolCall(Noun):
    """A tool call of a run, at its beginning or end."""

    call_id: str
    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    status: Literal["begun", "done", "waiting", "denied", "failed"] = "begun"
    content: str = ""


class Answer(Noun):
    """The answer to a request, with its sources, steps and cost, and where it is degraded."""

    answer_id: str
    thread_id: str
    question: str
    status: Status
    stop_reason: StopReason
    text: str
    citations: tuple[Citation, ...] = ()
    unsupported: tuple[Unsupported, ...] = ()
    """Statements that are marked or left out because what was read does not support them."""
    worked_out: tuple[WorkedOut, ...] = ()
    drafts: tuple[DraftOutcome, ...] = ()
    """The fate of each text of the chat model: shown; marked (statements were marked or left out); discarded for
    quotes; refused (nothing was shown)."""
    nearest: tuple[NearDocument, ...] = ()
    path: Path = "none"
    band: Band | None = None
    """How sure quoted documents are the answer: `answered`; `closest`, passages that may not answer it; `not_found`. `None`: of a tool or a
    model's own text, which is checked statement by statement."""
    confidence: float | None = None
    """Calibrated probability that what is quoted answers the question; `None` where nothing was graded."""
    written_by: str = ""
    """The model that answered, in a cascade of models; empty without one."""
    went_up: tuple[str, ...] = ()
    """Why the answer of each cheaper model was not taken. Their cost is part of `cost_usd`."""
    degraded: tuple[str, ...] = ()
    """Sentences about what was worse than configured or needs care."""
    plan: dict[str, Any] | None = None
    """What an agent that plans set out to do: its `reason`, and its `steps`."""
    steps: tuple[Step, ...] = ()
    usage: Usage = Usage()
    cost_usd: Usd | None = None
    """Cost in US dollars; `None`: at least one call has no price."""
    cost_notes: tuple[str, ...] = ()
    """Why the cost is unknown, for operators."""
    seconds: float = 0.0
    first_token_s: float | None = None
    """Seconds from the question to the chat model's first word; an agent that checks first shows it later."""
    trace_id: str | None = None
    approval: Approval | None = None
    is_json: bool = False
    calls: tuple[ToolCall, ...] = ()
    """Calls of the client's tools whose results the run waits for (`stop_reason` tool_calls)."""
    cached: Literal["exact", "semantic"] | None = None
    """How it matched an earlier answer, `first_answer_id`: the same question, or one of the same meaning; `None`: new."""
    first_answer_id: str | None = None
    as_of: date | None = None
    ai_generated: bool = True


class Conversation(Noun):
    """A conversation, listed by its title, or else by its first question."""

    thread_id: str
    question: str
    begun_at: datetime
    title: str = ""
    """The name that its person gave it; empty: none."""
    pinned: bool = False
    shared: bool = False
    """Whether a link opens it for others of the tenant."""


class Turn(Noun):
    """One question of a conversation and its answer."""

    answer_id: str
    question: str
    status: Status | Literal["unfinished"]
    """As in `Answer`, or `unfinished`: the run still works, or was cut off."""
    text: str
    path: Path = "none"
    band: Band | None = None
    confidence: float | None = None
    citations: tuple[Citation, ...] = ()
    nearest: tuple[NearDocument, ...] = ()
    unsupported: tuple[Unsupported, ...] = ()
    worked_out: tuple[WorkedOut, ...] = ()
    at: datetime
    as_of: date | None = None
    trace_id: str | None = None
    approval_id: str | None = None
    """The approval that the turn waits or waited for."""


class Event(Noun):
    """One item of a stream, which always ends in `answer` (with the whole Answer) or `error`.

    Before it come steps (`step`), words of the chat model (`token`), and of a tool-calling agent a tool call (`tool`),
    an action that waits for a person (`approval`), a source (`citation`), an unsupported statement (`check`).
    """

    kind: Literal["step", "token", "tool", "approval", "citation", "check", "answer", "error"]
    thread_id: str | None = None
    """The conversation. After a lost stream, the same question asked there again resumes the run."""
    step: Step | None = None
    token: str | None = None
    answer_id: str | None = None
    round: int | None = None
    """The call of the chat model that a token belongs to. Words of earlier rounds led to tools and are no answer."""
    tool: ToolCall | None = None
    approval: Approval | None = None
    citation: Citation | None = None
    check: Unsupported | None = None
    answer: Answer | None = None
    code: str | None = None
    message: str | None = None
    retryable: bool = False
    retry_after_s: float | None = None
    _error: SixplyError | None = PrivateAttr(default=None)
    """What `message` tells callers of: its own text is for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One priced use of a model or machine, for the cost ledger in observability."""

    layer: Layer = "orchestration"
    kind: str
    """chat, embeddings, rerank, tool, machine, or cached (an earlier answer)."""
    part: str
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    usd: Decimal | None
    basis: str
    tenant: str
    answer_id: str | None
    trace_id: str | None
    at: datetime
    subject: str = ""


def charge_details(call: Call, price: Price) -> dict[str, Any]:
    """Return what a charge says of a call of a model in the current trace."""
    details = {"model": call.model, "usage": call.usage, "seconds": call.seconds, "at": call.at, "trace_id": trace_id()}
    return {"layer": "models", "usd": price.usd, "basis": price.basis, **details}

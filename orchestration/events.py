"""What an agent tells while it works, and the answer that comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field

from foundation.types import Layer, Usage
from orchestration.actions import Approval
from orchestration.requests import Noun, Plan
from retrieval.contract import Citation

Status = Literal["answered", "abstained", "refused", "waiting", "escalated", "failed"]
StopReason = Literal[
    "complete", "insufficient_evidence", "policy", "approval", "tool_calls", "budget", "error", "cancelled"
]
Path = Literal["extractive", "generative", "tool", "none"]
DraftOutcome = Literal["shown", "marked", "discarded", "refused"]


class Step(Noun):
    """One visible piece of work and what came of it."""

    name: str
    detail: str = ""
    outcome: Literal["done", "failed", "skipped", "waiting"] = "done"
    ms: float = 0.0


class NearDocument(Noun):
    """A document that may be worth a look, where nothing in it was sure enough to be quoted."""

    document_id: str
    uri: str
    title: str


class Unsupported(Noun):
    """A statement of an answer that the documents and results do not support; `[?]` stands behind it in the text."""

    text: str
    reason: str
    """A stable word: figure, name, denied, unsupported, unknown_marker."""
    detail: str = ""


class ToolCall(Noun):
    """A tool call of a run, as it begins and as it ends."""

    call_id: str
    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    status: Literal["begun", "done", "waiting", "denied", "failed"] = "begun"
    content: str = ""
    """What came of it, shortened."""


class Answer(Noun):
    """What the person gets. It says how it came about, what it cost and where it is degraded."""

    answer_id: str
    thread_id: str
    question: str
    status: Status
    stop_reason: StopReason
    text: str
    citations: tuple[Citation, ...] = ()
    unsupported: tuple[Unsupported, ...] = ()
    """Statements that are shown and marked, because what was read does not support them."""
    drafts: tuple[DraftOutcome, ...] = ()
    """What became of each text of the chat model: shown as it is, shown with statements marked or left out, discarded for quotes, or
    refused, so that nothing was shown."""
    nearest: tuple[NearDocument, ...] = ()
    """Where to look, best first, when the evidence was too thin to answer from. They are no citations."""
    path: Path = "none"
    confidence: float | None = None
    """That what was quoted answers the question, where it was judged."""
    written_by: str = ""
    """The model that answered, where cheaper ones are asked first."""
    went_up: tuple[str, ...] = ()
    """Why the answer of each cheaper model before it was not taken. `cost_usd` has what that cost."""
    degraded: tuple[str, ...] = ()
    """What was worse than configured or is to be read with care, in words."""
    plan: Plan | None = None
    steps: tuple[Step, ...] = ()
    """In the order in which they ended."""
    usage: Usage = Usage()
    cost_usd: Decimal | None = None
    """`None`: at least one call in it is unpriced."""
    seconds: float = 0.0
    first_token_s: float | None = None
    """From the question to the chat model's first word. An agent that checks first shows it to the caller later."""
    trace_id: str | None = None
    approval: Approval | None = None
    is_json: bool = False
    """The text is the JSON that a client asked for."""
    calls: tuple[ToolCall, ...] = ()
    """Calls of the client's tools that wait for their results (`stop_reason` tool_calls)."""
    cached: Literal["exact", "semantic"] | None = None
    """It was given before, to the same question or to one that means the same, under the id `first_answer_id`."""
    first_answer_id: str | None = None
    as_of: date | None = None
    """The day whose versions of the documents it is made from, where another one than today was asked for."""
    ai_generated: bool = True


class Conversation(Noun):
    """A conversation by the question that began it."""

    thread_id: str
    question: str
    begun_at: datetime


class Turn(Noun):
    """One question of a conversation and what came of it."""

    answer_id: str
    question: str
    status: Status | Literal["unfinished"]
    """`unfinished`: the run still goes on, or was cut off."""
    text: str
    path: Path = "none"
    citations: tuple[Citation, ...] = ()
    nearest: tuple[NearDocument, ...] = ()
    at: datetime
    as_of: date | None = None
    """As in `Answer`."""
    trace_id: str | None = None
    approval_id: str | None = None
    """The approval that the turn waits for, or waited for."""


class Event(Noun):
    """One item of a stream. The last one is `answer` (with the whole Answer) or `error`, never a bare end.

    Before it come the words of the chat model (`token`), and of a tool-calling agent a tool call (`tool`), an action that waits for a
    person (`approval`), a source of the answer (`citation`), a statement that the sources do not support (`check`).
    """

    kind: Literal["step", "token", "tool", "approval", "citation", "check", "answer", "error"]
    thread_id: str | None = None
    """The conversation of a step. Whoever loses the stream asks the same again there, and the run goes on."""
    step: Step | None = None
    token: str | None = None
    answer_id: str | None = None
    round: int | None = None
    """Of a token: which call of the chat model said it. Words of an earlier round led to tools and are no answer."""
    tool: ToolCall | None = None
    approval: Approval | None = None
    citation: Citation | None = None
    check: Unsupported | None = None
    answer: Answer | None = None
    code: str | None = None
    message: str | None = None
    retryable: bool = False
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Recalled:
    """An answer from documents that was given before. All it cites is as it was, and may be seen by who asks now."""

    kind: Literal["exact", "semantic"]
    answer_id: str
    text: str
    path: Path
    citations: tuple[Citation, ...]


class AuditRecord(Noun):
    """One tool call, carried out or not, one decision, or one answer. Arguments, which can hold what a user wrote, appear as their
    hash. The log adds when it was, and which model and manifest were running."""

    act: Literal["tool", "decision", "answer", "memory", "stop", "erasure"] = "tool"
    tenant: str
    subject: str
    run_id: str
    tool: str = ""
    arguments_hash: str = ""
    outcome: Literal["done", "waiting", "denied", "failed", "decided", "stopped", "lifted"] | Status
    reason: str = ""
    rule: str = ""
    """The rule of the policy by which it was denied or made to wait."""
    documents: tuple[str, ...] = ()
    """Ids of the documents that an answer cites."""
    trace_id: str | None = None
    approval_id: str | None = None
    decided_by: str | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """One thing that cost money, for the ledger of layer 6."""

    layer: Layer
    kind: str
    """chat, embeddings, rerank, tool, machine, or cached: an answer that was given before."""
    part: str
    model: str
    usage: Usage
    seconds: float
    usd: Decimal | None
    basis: str
    tenant: str
    answer_id: str | None
    trace_id: str | None
    at: datetime
    subject: str = ""

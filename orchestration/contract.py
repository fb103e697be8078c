"""The ports and nouns of layer 4.

Tools are LangChain's `BaseTool`, whose `metadata` is a `ToolMetadata`; they are called by nobody but the executor.
Checkpoints are LangGraph's `BaseCheckpointSaver`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict, runtime_checkable

from langchain_core.messages import AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.checkpoint.base import BaseCheckpointSaver
from pydantic import BaseModel, ConfigDict, Field

from foundation.components import Context
from foundation.types import Layer, Principal, Usage
from models.contract import BaseChatModel, Embeddings, PriceSource
from orchestration.settings import OrchestrationSettings
from retrieval.contract import Citation, DocumentLedger, Retriever

if TYPE_CHECKING:  # the executor and the grounding are plain classes, not ports; they import this module or its peers
    from orchestration.effects.executor import Executor
    from orchestration.prompts.files import Prompts
    from orchestration.run.run import Run
    from retrieval.grounding.evidence import Grounding

__all__ = [
    "Agent",
    "AgentParts",
    "Answer",
    "AnswerMemory",
    "AnswerRequest",
    "Approval",
    "ApprovalNotice",
    "ApprovalNotifier",
    "ApprovalStore",
    "AuditLog",
    "AuditRecord",
    "BaseCheckpointSaver",
    "BaseTool",
    "Charge",
    "ClientOptions",
    "Conversation",
    "ConversationStore",
    "Decision",
    "DraftOutcome",
    "EffectLog",
    "Event",
    "Fact",
    "FactStore",
    "Meter",
    "NearDocument",
    "Origin",
    "Plan",
    "PlanStep",
    "Planner",
    "Recalled",
    "Spending",
    "Step",
    "ToolCall",
    "ToolMetadata",
    "ToolOutcome",
    "Turn",
    "Unsupported",
]

Status = Literal["answered", "abstained", "refused", "waiting", "escalated", "failed"]
StopReason = Literal[
    "complete", "insufficient_evidence", "policy", "approval", "tool_calls", "budget", "error", "cancelled"
]
Path = Literal["extractive", "generative", "tool", "none"]
Route = Literal["answer", "look_up", "act", "several", "clarify", "refuse", "hand_over", "reply"]
Outcome = Literal["planned", "done", "failed", "skipped", "waiting"]
DraftOutcome = Literal["shown", "marked", "discarded", "refused"]
Role = Literal["target", "content", "amount", "choice"]
Preview = Callable[[Mapping[str, Any], Principal], str]
Completion = Callable[[Mapping[str, Any], Principal], Mapping[str, Any]]
Prohibition = Callable[[Mapping[str, Any], Principal], tuple[str, str] | None]


class ToolMetadata(TypedDict, total=False):
    """What a tool says of itself; whatever it leaves out is read as the more careful of both. Other keys are refused:
    a misspelt `forbidden` would forbid nothing."""

    effect: bool
    """Default True: it changes something."""
    idempotent: bool
    """Default False. Called twice with the same idempotency key it acts once, so that a call whose end was lost in a
    crash can be made again."""
    preview: Preview
    """What the effect would do, for the approver; raises `ToolException` where it cannot be done, and then nobody is
    asked."""
    completed: Completion
    """The arguments with what the tool's own data settle of those that were left open (`None`). Asked before a person
    is, so that what is approved is all that will be done; raises `ToolException` as `preview` does."""
    forbidden: Prohibition
    """The rule of the house that forbids this effect as things stand, and what it says. Asked before a person is, and
    again right before the effect: no approval overrides it, and what was permitted when it was asked for may no longer
    be."""
    timeout_s: float
    """Default 30."""
    reach: Literal["own", "outward"]
    """Whether the effect stays in our own house and can be undone there, or (default) leaves it, moves money, gives
    access, destroys."""
    arguments: Mapping[str, Role]
    """For each argument its role: "target" (default; steers the effect), "content" (text that goes along), "amount",
    "choice" (any value is harmless)."""
    units: Mapping[str, str]
    """The smallest unit of an amount, as a decimal number: `{"amount_usd": "0.01"}`. What is no whole number of them, or
    less than one, does not fit: it would be shown rounded to whoever approves it."""
    said_as: Mapping[str, Mapping[str, Sequence[str]]]
    """Argument by choice by phrases for it: `{"priority": {"P2": ["urgent"]}}`."""
    asked_by: Sequence[str]
    """Beginnings of the verbs by which people ask for it; "not forget" is the negated one. None of them said, or only
    denied, a person is asked."""
    trusted: Collection[str]
    """Fields of the artifact that our own systems issue, "*" for all: others can be anybody's text."""
    examples: Sequence[str]
    """Requests in a person's words, by which the planner finds it."""
    questions: Sequence[str]
    """Questions that sound like it and that the documents answer."""
    opens: str
    """A pattern of the first words by which people ask for it, whatever follows: "Remember that ..."."""


class Noun(BaseModel):
    model_config = ConfigDict(frozen=True)


class ClientOptions(Noun):
    """What the program through which a person asks wants of one request. It is the program's word: it widens no policy."""

    instructions: str = ""
    """Its system messages: role, tone, language and form of the answers."""
    tools: tuple[dict[str, Any], ...] = ()
    """Functions that it carries out, as Chat Completions describe them. None bears the name of a tool of the agent's."""
    tool_choice: str = "auto"
    """Whether the first reply calls one of them: auto, none, any (one of them), or the name of one."""
    parallel_tool_calls: bool = True
    response_format: dict[str, Any] | None = None
    """As Chat Completions have it, of the type json_object or json_schema; `None`: Markdown."""


class AnswerRequest(Noun):
    """What a person asked. `thread_id` continues a conversation; `as_of` asks for the versions in force on that day."""

    question: str
    thread_id: str | None = None
    messages: tuple[AnyMessage, ...] = ()
    """The conversation up to the question, oldest first, where the caller keeps it. What it says that the assistant said is
    the caller's word and vouches for nothing. With `thread_id` it is not read: the conversation kept here knows."""
    images: tuple[dict[str, Any], ...] = ()
    """Pictures that go with the question, as LangChain's content blocks."""
    since: tuple[AnyMessage, ...] = ()
    """What came of the question so far: calls of the client's tools and their results. Ends in results, or is empty."""
    client: ClientOptions = ClientOptions()
    compose: Literal["auto", "extractive", "generative"] | None = None
    max_usd: float | None = Field(default=None, ge=0)
    as_of: date | None = None

    @property
    def earlier(self) -> tuple[str, ...]:
        """What the same person asked before, oldest first."""
        said = [message.text for message in self.messages if isinstance(message, HumanMessage)]
        return tuple(text for text in said if text)

    @property
    def results(self) -> dict[str, ToolMessage]:
        """The results with which it ends, by the ids of their calls."""
        last = takewhile(lambda message: isinstance(message, ToolMessage), reversed(self.since))
        return {message.tool_call_id: message for message in last if isinstance(message, ToolMessage)}


class Step(Noun):
    """One visible piece of work and what came of it."""

    name: str
    detail: str = ""
    outcome: Literal["done", "failed", "skipped", "waiting"] = "done"
    ms: float = 0.0


class PlanStep(Noun):
    """One thing to do: answer from the documents, look something up by a read tool, or act by an effect tool."""

    step_id: str
    kind: Literal["answer", "look_up", "act"]
    ask: str
    """The part of the request that it serves, in the person's words."""
    tool: str = ""
    arguments: dict[str, Any] = {}
    """A value `$1.order_id` stands for the field `order_id` of what step 1 found."""
    missing: tuple[str, ...] = ()
    """Arguments that the person did not state and is asked for."""
    after: tuple[str, ...] = ()
    """Steps that must be done before. Steps that do not wait for each other run side by side."""
    outcome: Outcome = "planned"
    detail: str = ""


class Plan(Noun):
    """What a request asks for and how it is met, made from the person's words alone.

    `several` are more than one step; `clarify`, `refuse`, `hand_over` (to a person) and `reply` (nothing is asked for) end
    the run at once, but for a step that the caller's role may not take: it goes to the executor, whose refusal is in the
    audit.
    """

    route: Route
    steps: tuple[PlanStep, ...] = ()
    made_by: Literal["classifier", "model", "fixed"] = "fixed"
    reason: str = ""
    reply: str = ""
    """What the person is told where nothing is to be done."""
    changes: tuple[str, ...] = ()
    """What was changed on the way, and why."""


class Approval(Noun):
    """A pending or decided permission for one effect, bound to exactly these arguments.

    An approver may grant other arguments than were asked for. Both stay on record; what was granted is what runs.
    """

    approval_id: str
    thread_id: str
    tenant: str
    requested_by: str
    tool: str
    arguments: dict[str, Any]
    arguments_hash: str
    reason: str
    asked: str = ""
    """What the person said, word for word, for whoever decides."""
    status: Literal["pending", "approved", "rejected", "expired"] = "pending"
    requested_at: datetime
    expires_at: datetime
    decided_by: str | None = None
    decided_at: datetime | None = None
    note: str = ""
    edited: dict[str, Any] | None = None
    """What the approver granted instead of `arguments`; `None`: just those."""
    edited_hash: str = ""

    @property
    def granted_arguments(self) -> dict[str, Any]:
        """The arguments that may run once it is approved."""
        return self.arguments if self.edited is None else self.edited


class ApprovalNotice(Noun):
    """What may be told outside of an approval that waits: no arguments, no words of a person, no name of who asked."""

    approval_id: str
    tenant: str
    tool: str
    requested_at: datetime
    expires_at: datetime
    link: str = ""
    """Where it is decided, if `[orchestration] approval_link` says."""


class Decision(Noun):
    approval_id: str
    approve: bool
    note: str = ""
    arguments: dict[str, Any] | None = None
    """All arguments of the call to be made instead of the one that was asked for; only with `approve`."""


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
    arguments: dict[str, Any] = {}
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
    """What became of each text that the chat model wrote: shown as it is, shown with statements marked or left out, discarded
    for quotes, or refused, so that nothing was shown. Empty where it wrote none."""
    nearest: tuple[NearDocument, ...] = ()
    """Where to look, best first, when the evidence was too thin to answer from. Nothing rests on them: they are no citations."""
    path: Path = "none"
    degraded: tuple[str, ...] = ()
    """What was worse than configured or is to be read with care, in words; empty when all went as it should."""
    plan: Plan | None = None
    """`None` only where the run ended before there was one."""
    steps: tuple[Step, ...] = ()
    """What was done, in the order in which it ended."""
    usage: Usage = Usage()
    cost_usd: Decimal | None = None
    """`None`: at least one call in it is unpriced."""
    seconds: float = 0.0
    first_token_s: float | None = None
    """From the question to the chat model's first word; `None` where none was written. An agent that checks
    first shows it to the caller later."""
    trace_id: str | None = None
    approval: Approval | None = None
    is_json: bool = False
    """The text is the JSON that a client asked for, and nothing stands beside it."""
    calls: tuple[ToolCall, ...] = ()
    """Calls of the client's tools that wait for their results (`stop_reason` tool_calls)."""
    cached: Literal["exact", "semantic"] | None = None
    """Whether it was given before, to the same question or to one that means the same, and is given again."""
    first_answer_id: str | None = None
    """The id of the answer that is given again."""
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
    """The day whose versions of the documents the answer is made from, where another one than today was asked for."""
    trace_id: str | None = None
    """The trace that tells how the turn came about, where one was recorded."""
    approval_id: str | None = None
    """The approval that the turn waits for, or waited for."""


class Fact(Noun):
    """Something that is remembered of a person beyond one conversation."""

    fact_id: str
    text: str
    at: datetime
    """When it was told, or corrected."""
    approved_by: str = ""
    """Who let it in, where it was not in the person's own words."""


class Event(Noun):
    """One item of a stream. The last one is `answer` (with the whole Answer) or `error`, never a bare end.

    Between them stand the words of the chat model as they come (`token`), and what happens in a tool-calling agent: a tool
    call (`tool`), an action that waits for a person (`approval`), a source of the answer (`citation`), a statement that the
    sources do not support (`check`).
    """

    kind: Literal["step", "token", "tool", "approval", "citation", "check", "answer", "error"]
    thread_id: str | None = None
    """The conversation of a step. Whoever loses the stream asks the same again there, and the run goes on."""
    step: Step | None = None
    token: str | None = None
    answer_id: str | None = None
    round: int | None = None
    """Of a token: which call of the chat model said it. The words of an earlier round led to tools and are no answer."""
    tool: ToolCall | None = None
    approval: Approval | None = None
    citation: Citation | None = None
    check: Unsupported | None = None
    answer: Answer | None = None
    code: str | None = None
    message: str | None = None
    retryable: bool = False
    retry_after_s: float | None = None


class ToolOutcome(Noun):
    """What came of one tool call. `content` is fit for a person in every status."""

    tool: str
    status: Literal["done", "waiting", "denied", "failed"]
    content: str
    arguments: dict[str, Any] = {}
    """What it was called with, checked; empty where it was not called."""
    artifact: Any = None
    """The result as data, where the tool gives one."""
    approval: Approval | None = None
    reason: str = ""
    """A stable word: role, tenant, arguments, approval, mismatch, rejected, expired, forbidden, tool, timeout, unknown,
    limit, stopped; of a `done` effect `words` where the person's own words were enough, `repeated` where an equal
    call of the same answer had done it, else empty."""
    rule: str = ""
    """The setting of the policy that denied it or made it wait; `stops` where a kill switch did; of what is forbidden
    the rule that the tool named."""


class Origin(Noun):
    """What the values of a call may be traced to. Empty, nothing can be, and every effect needs an approval."""

    words: str = ""
    """What the person said in this conversation. Never a document, a result or what a model wrote."""
    asked: str = ""
    """The last of it: the request that the call is to meet, word for word, with what was said to complete it."""
    results: tuple[ToolOutcome, ...] = ()
    """What earlier calls gave this person in this conversation, as the executor returned it."""


class AuditRecord(Noun):
    """One tool call, carried out or not, one decision, or one answer. Arguments appear as their hash: they can hold what a
    user wrote. The log adds when it was, and which model and manifest were running."""

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


@runtime_checkable
class Agent(Protocol):
    """Answers questions. `stream` is the one primitive; `answering.answer` collects it.

    A request that is refused raises before the first event; a failure on the way ends the stream with an `error` event.
    """

    def stream(self, request: AnswerRequest, principal: Principal) -> AsyncIterator[Event]:
        """Run one request. Closing the iterator cancels the work.

        The same question again, in a conversation whose run was cut off before it ended, goes on from its last step.

        Raises:
            InvalidRequest: the question is blank. TooLarge: it is longer than the settings allow.
            NotFound: the thread is unknown, or somebody else's.
            Conflict: the thread is busy, or waits for an approval.
        """
        ...

    def resume(self, decision: Decision, principal: Principal) -> AsyncIterator[Event]:
        """Go on after an approval was decided.

        Raises:
            NotFound: no such approval in the caller's tenant.
            Forbidden: the caller may not decide it.
            Gone: it has expired.
            Conflict: it was decided already. The same decision is taken again only where the run that waited for it
                was cut off before it ended; it then goes on.
            InvalidRequest: it edits the arguments, and the tool does not take them.
        """
        ...


@runtime_checkable
class Planner(Protocol):
    """Makes a plan from the person's words alone, before any document is read."""

    asks_model: bool
    """Whether it calls the chat model, which takes so long that a first search begins meanwhile."""

    async def plan(self, question: str, tools: Sequence[BaseTool], run: Run, *, allowed: frozenset[str]) -> Plan:
        """Plan with `tools`, of which the caller may use `allowed`. Another one of them may be planned, and is then refused.

        A value of an argument is what the question says, or refers to what an earlier step finds (`$1.order_id`). What the
        question leaves open is `missing` and asked for.

        Raises:
            ComponentError: the model behind it failed, or planned what cannot be read.
        """
        ...

    async def replan(self, plan: Plan, question: str, tools: Sequence[BaseTool], run: Run) -> Plan:
        """The plan with other steps in the place of those that wait for a failed one, or the same plan."""
        ...


@runtime_checkable
class ConversationStore(Protocol):
    """The conversations of a person. An agent that keeps them offers this as its attribute `conversations`."""

    async def all(self, principal: Principal) -> list[Conversation]:
        """Newest first."""
        ...

    async def turns(self, thread_id: str, principal: Principal) -> list[Turn]:
        """Oldest first.

        Raises:
            NotFound: it is unknown, or somebody else's.
        """
        ...

    async def delete(self, thread_id: str, principal: Principal) -> None:
        """Nothing of it can be read afterwards.

        Raises:
            NotFound: it is unknown, or somebody else's. Conflict: it is busy, or waits for an approval.
        """
        ...


class FactStore(Protocol):
    """What is remembered of people. Nobody's facts are another's, not even in the same tenant."""

    def of(self, principal: Principal) -> list[Fact]:
        """Oldest first."""
        ...


class ApprovalStore(Protocol):
    """Durable approvals; they survive a restart."""

    async def request(self, approval: Approval) -> Approval: ...
    async def get(self, approval_id: str, tenant: str) -> Approval | None: ...
    async def pending(self, tenant: str) -> list[Approval]: ...
    async def decide(
        self,
        approval_id: str,
        tenant: str,
        *,
        approve: bool,
        by: str,
        note: str,
        edited: Mapping[str, Any] | None = None,
        edited_hash: str = "",
    ) -> Approval:
        """Exactly one of two simultaneous decisions wins; the other raises Conflict."""
        ...


@runtime_checkable
class ApprovalNotifier(Protocol):
    """Tells people that an approval waits for them."""

    def announce(self, notice: ApprovalNotice) -> None:
        """Tell of it. Called off the event loop, one after another; an error is logged and counted, and not tried again.

        The same approval may be announced again after a crash.

        Raises:
            ComponentError: nobody could be told.
        """
        ...


class EffectLog(Protocol):
    """Remembers every effect by run, step and arguments, so that it happens once across retries and crashes."""

    async def begin(self, key: str, tool: str, arguments_hash: str, principal: Principal) -> Mapping[str, Any] | None:
        """Claim `key` for the person that `principal` is, or return the stored result of an effect that has already happened.

        Raises:
            Conflict: it was begun and never finished, so nobody knows whether it happened; a person must look.
        """
        ...

    async def finish(self, key: str, result: Mapping[str, Any]) -> None: ...
    async def abandon(self, key: str) -> None:
        """Release `key`: the effect certainly did not happen, and may be tried again."""
        ...


class AuditLog(Protocol):
    """Append-only memory of every tool call, every decision and every answer."""

    async def record(self, entry: AuditRecord) -> None: ...


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
    """Who asked; empty where nobody did."""


@runtime_checkable
class Meter(Protocol):
    """Where charges go. Observability implements it; orchestration only knows that it exists."""

    def record(self, charge: Charge) -> None: ...


class Spending(Protocol):
    """What all runs together may spend on model calls, by tenant and day. `usd` is `None` where the price is not known."""

    async def reserve(self, principal: Principal, *, tokens: int, usd: Decimal | None) -> Any:
        """Set aside what a call may need; what comes back is for `settle`.

        Raises:
            BudgetExceeded: it, with what is used and reserved today, does not fit.
        """
        ...

    async def settle(self, held: Any, *, tokens: int, usd: Decimal | None) -> None:
        """Replace what was set aside by what was used; 0 for a call that never came about."""
        ...


@dataclass(frozen=True, slots=True)
class Recalled:
    """An answer from documents that was given before. All it cites is as it was, and may be seen by who asks now."""

    kind: Literal["exact", "semantic"]
    answer_id: str
    """The id that the answer had when it was made."""
    text: str
    path: Path
    citations: tuple[Citation, ...]


@runtime_checkable
class AnswerMemory(Protocol):
    """Answers from documents, by tenant and permissions. Never asked about tools, nor told what came of them."""

    async def recall(self, question: str, *, compose: str, principal: Principal) -> Recalled | None:
        """Raises:
        ComponentError: it cannot be reached. An answer can be made without it.
        """
        ...

    async def remember(self, answer: Answer, *, compose: str, principal: Principal, since: int) -> None:
        """Keep an answer for a while, unless the documents have changed since the ledger's sequence `since`. Raises as
        `recall`."""
        ...

    def now(self) -> int:
        """The ledger's sequence, to be given to `remember` as `since`."""
        ...


@dataclass(frozen=True, kw_only=True)
class AgentParts(Context):
    """What an agent adapter is built from: `build(options, context: AgentParts) -> Agent`."""

    chat: BaseChatModel
    embedder: Embeddings
    retriever: Retriever
    grounding: Grounding
    executor: Executor
    checkpoints: BaseCheckpointSaver[Any]
    prices: PriceSource
    meter: Meter
    settings: OrchestrationSettings
    prompts: Prompts
    spending: Spending | None = None
    """`None`: there are no limits beyond those of a single run."""
    memory: AnswerMemory | None = None
    """Where answers from documents are looked up before they are made again; `None`: nowhere."""
    scorer: Callable[[Answer], Mapping[str, Any]] | None = None
    """Gives attributes for the span of a finished answer. Called off the event loop."""
    facts: FactStore | None = None
    """What is remembered of the person who asks."""
    ledger: DocumentLedger | None = None
    """Where an agent that calls tools reads on in a document."""

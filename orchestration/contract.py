"""The ports of layer 4; its nouns stand in `requests`, `actions` and `events` beside it, and are given on from here.

Tools are LangChain's `BaseTool`, whose `metadata` is a `ToolMetadata`; they are called by nobody but the executor.
Checkpoints are LangGraph's `BaseCheckpointSaver`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from langchain_core.tools import BaseTool
from langgraph.checkpoint.base import BaseCheckpointSaver

from foundation.components import Context
from foundation.types import Principal
from models.contract import BaseChatModel, Embeddings, PriceSource
from orchestration.actions import (
    Approval,
    ApprovalNotice,
    Decision,
    Origin,
    ToolMetadata,
    ToolOutcome,
)
from orchestration.events import (
    Answer,
    AuditRecord,
    Charge,
    Conversation,
    DraftOutcome,
    Event,
    NearDocument,
    Path,
    Recalled,
    Status,
    Step,
    ToolCall,
    Turn,
    Unsupported,
)
from orchestration.requests import AnswerRequest, ClientOptions, Fact, Plan, PlanStep
from orchestration.settings import OrchestrationSettings
from retrieval.contract import DocumentLedger, Retriever

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
    "Path",
    "Plan",
    "PlanStep",
    "Planner",
    "Recalled",
    "Spending",
    "Status",
    "Step",
    "ToolCall",
    "ToolMetadata",
    "ToolOutcome",
    "Turn",
    "Unsupported",
]


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

"""The ports of layer 4. Its nouns stand in `requests`, `actions` and `events` beside it.

Tools are LangChain's `BaseTool`, whose `metadata` is a `ToolMetadata`; only the executor calls them. Checkpoints are
LangGraph's `BaseCheckpointSaver`.
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
from orchestration.actions import ApprovalNotice, Decision
from orchestration.events import Answer, Charge, Conversation, Event, Recalled, Turn
from orchestration.requests import AnswerRequest, Plan
from orchestration.settings import OrchestrationSettings
from retrieval.contract import DocumentLedger, Retriever

if TYPE_CHECKING:  # plain classes, not ports, which import this module
    from orchestration.effects.executor import Executor
    from orchestration.prompts.files import Prompts
    from orchestration.run.run import Run
    from retrieval.grounding.evidence import Grounding


@runtime_checkable
class Agent(Protocol):
    """Answers questions. A refused request raises before the first event; a later failure ends the stream with an `error` event.

    Closing the iterator cancels the work.
    """

    def stream(self, request: AnswerRequest, principal: Principal) -> AsyncIterator[Event]:
        """Run one request. The same question again, in a conversation whose run was cut off, goes on from its last step.

        Raises InvalidRequest (blank), TooLarge, NotFound (no such thread of the caller's), Conflict (the thread is busy, or waits
        for an approval).
        """
        ...

    def resume(self, decision: Decision, principal: Principal) -> AsyncIterator[Event]:
        """Go on after an approval was decided. The same decision is taken again only where the run was cut off before it ended.

        Raises NotFound (no such approval in the caller's tenant), Forbidden, Gone (expired), Conflict (decided already),
        InvalidRequest (the tool does not take the edited arguments).
        """
        ...


@runtime_checkable
class Planner(Protocol):
    """Makes a plan from the person's words alone, before any document is read."""

    asks_model: bool
    """Whether it calls the chat model, which takes so long that a first search begins meanwhile."""

    async def plan(self, question: str, tools: Sequence[BaseTool], run: Run, *, allowed: frozenset[str]) -> Plan:
        """Plan with `tools`. The caller may use those in `allowed`; another one may be planned, and is then refused.

        An argument is what the question says, or refers to what an earlier step finds (`$1.order_id`); what the question leaves
        open is `missing` and asked for. Raises ComponentError: the model failed, or planned what cannot be read.
        """
        ...

    async def replan(self, plan: Plan, question: str, tools: Sequence[BaseTool], run: Run) -> Plan:
        """The plan with other steps in the place of those that wait for a failed one, or the same plan."""
        ...


@runtime_checkable
class ApprovalNotifier(Protocol):
    """Tells people that an approval waits for them."""

    def announce(self, notice: ApprovalNotice) -> None:
        """Tell of it, off the event loop, one after another. After a crash the same approval may be announced again.

        Raises ComponentError: nobody could be told. It is logged and counted, and not tried again.
        """
        ...


@runtime_checkable
class ConversationStore(Protocol):
    """A person's conversations, as an agent that keeps them offers in `conversations`. Raises NotFound for somebody else's."""

    async def all(self, principal: Principal) -> list[Conversation]:
        """Newest first."""
        ...

    async def turns(self, thread_id: str, principal: Principal) -> list[Turn]:
        """Oldest first."""
        ...

    async def delete(self, thread_id: str, principal: Principal) -> None:
        """Nothing of it can be read afterwards. Raises Conflict: it is busy, or waits for an approval."""
        ...


@runtime_checkable
class Meter(Protocol):
    """Where charges go; observability implements it."""

    def record(self, charge: Charge) -> None: ...


class Spending(Protocol):
    """What all runs together may spend on model calls. `usd` is `None` where the price is not known."""

    async def reserve(self, principal: Principal, *, tokens: int, usd: Decimal | None) -> Any:
        """Set aside what a call may need, for `settle`. Raises BudgetExceeded: it does not fit."""
        ...

    async def settle(self, held: Any, *, tokens: int, usd: Decimal | None) -> None:
        """Replace what was set aside by what was used; 0 for a call that never came about."""
        ...


@runtime_checkable
class AnswerMemory(Protocol):
    """Answers from documents, by tenant and permissions; nothing of tools. Raises ComponentError where it cannot be reached."""

    async def recall(self, question: str, *, compose: str, principal: Principal) -> Recalled | None: ...
    async def remember(self, answer: Answer, *, compose: str, principal: Principal, since: int) -> None:
        """Keep an answer for a while, unless the documents have changed since the ledger's sequence `since`."""
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
    memory: AnswerMemory | None = None
    scorer: Callable[[Answer], Mapping[str, Any]] | None = None
    """Gives attributes for the span of a finished answer. Called off the event loop."""
    facts: Any = None
    """`orchestration.memory.facts.SqliteFacts`"""
    ledger: DocumentLedger | None = None
    """Where an agent that calls tools reads on in a document."""

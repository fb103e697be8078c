"""The ports of layer 4. Tools are LangChain's `BaseTool` with `ToolMetadata`, checkpoints LangGraph's `BaseCheckpointSaver`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from foundation.components import Context
from foundation.types import Principal, Scope
from orchestration.actions import Decision, ProposedEffect, Requirement
from orchestration.events import Answer, Charge, Event
from orchestration.requests import AnswerRequest
from orchestration.settings import OrchestrationSettings
from retrieval.contract import DocumentLedger, Retriever

if TYPE_CHECKING:  # LangChain takes half a second to import; the others are plain classes, which import this module
    from langchain.agents.middleware import AgentMiddleware
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from models.contract import BaseChatModel, Embeddings, PriceSource
    from orchestration.effects.executor import Executor
    from orchestration.prompts.files import Prompts
    from retrieval.documents import Hit
    from retrieval.grounding.checks import Finding
    from retrieval.grounding.evidence import Grounding


Guarded = Literal["tenant", "model", "effects"]


@runtime_checkable
class Agent(Protocol):
    """Answers questions. A refused request raises before the first event; a later failure ends the stream with an `error`
    event. Closing the iterator cancels the work.
    """

    def stream(self, request: AnswerRequest, principal: Principal) -> AsyncIterator[Event]:
        """Run one request. Asked again in a conversation whose run was cut off, the same question resumes at its last step.

        Raises InvalidRequest (blank), TooLarge, NotFound (no such thread of the caller's), Conflict (the thread is busy, or waits
        for an approval).
        """
        ...

    def resume(self, decision: Decision, principal: Principal) -> AsyncIterator[Event]:
        """Decide an approval and continue its run. A repeated decision is accepted only where that run was cut off.

        Raises NotFound (no such approval in the caller's tenant), Forbidden, Gone (expired), Conflict (decided already),
        InvalidRequest (the tool does not take the edited arguments).
        """
        ...


@dataclass(frozen=True, kw_only=True)
class WrittenAnswer:
    """An answer in a model's words, with everything that it may rest on."""

    text: str
    passages: Mapping[int, Hit]
    """The passages that its writer was shown, by their numbers."""
    known: Sequence[str]
    """Other texts that were read: results of tools, what was said, instructions."""
    question: str
    acted: bool
    """Whether its writer used tools."""
    results: Sequence[str] = ()
    """Of `known`, what tools gave in this turn."""
    chat: BaseChatModel
    """The chat model, to be called from the check's thread, on the answer's bill."""
    note: Callable[[str], None] = lambda _: None
    """Says in `degraded` what a check could not do."""


class AnswerCheck(Protocol):
    """A check of a model's answer beside that of its markers, quotations and figures. Called off the event loop."""

    def __call__(self, answer: WrittenAnswer, grounding: Grounding) -> Sequence[Finding]:
        """Return what to mark, where nothing else is marked. Raises ComponentError: it could not be checked."""
        ...


@runtime_checkable
class Approver(Protocol):
    """Says who has to approve an effect. Built from `[approver]` of policy.toml."""

    @property
    def roles(self) -> frozenset[str]:
        """Every role that it names. They may decide approvals, beside `approvers`; one that the policy does not know is an error at the start."""
        ...

    def rule(self, effect: ProposedEffect) -> Requirement | None:
        """Return who has to approve the effect, or why nobody may; `None`: as the policy has it for all.

        Called when the effect is asked for and when somebody decides, off the event loop. What it raises stops the effect.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ToolParts(Context):
    """What a source of tools gets in an open system: `build(options, context: ToolParts)`."""

    ledger: DocumentLedger
    retriever: Retriever
    scope_of: Callable[[Principal], Scope]
    """The documents that a caller may read."""


class Demand(Protocol):
    """Asks every guard, such as a kill switch, whether something may go on."""

    def __call__(self, kind: Guarded, name: str = "") -> None:
        """Raises Stopped: a guard refuses it; the text says who and why. `name` is that of the tenant or the model."""
        ...


class Meter(Protocol):
    """Records what was spent."""

    def record(self, charge: Charge) -> None:
        """Store a charge, which is durable when this returns. Raises StorageFull, StoreUnavailable: it was not stored."""
        ...


class Spending(Protocol):
    """Budgets that many runs share: each call is reserved before it is made, and settled after it."""

    async def reserve(self, principal: Principal, *, tokens: int, usd: Decimal | None) -> Any:
        """Set aside what a call may need; return a handle for `settle`. Raises BudgetExceeded, QuotaExceeded."""
        ...

    async def settle(self, held: Any, *, tokens: int, usd: Decimal | None) -> None:
        """Replace what was set aside by what the call used. Raises StoreUnavailable: it is booked later."""
        ...


class ClientMiddleware(ABC):
    """Lets a client program bring tools of its own, and ask for JSON. An extension offers it among its services."""

    @abstractmethod
    def tools(self) -> AgentMiddleware[Any, Any]:
        """Return what offers the client's tools, which stands outside of the policy, since no executor calls them."""

    @abstractmethod
    def checks(self) -> AgentMiddleware[Any, Any]:
        """Return what checks answers, in the place of `CitationMiddleware`."""


class MoreMiddleware(ABC):
    """Middleware for the agent that calls tools, which stands within policy and evidence. An extension offers it among its services."""

    @abstractmethod
    def open(self, parts: AgentParts) -> Sequence[AgentMiddleware[Any, Any]]:
        """Return it from the outer to the inner, for one agent. Raises InvalidSetting: one cannot be governed."""


class PersonalMemory(ABC):
    """What is remembered of people beyond a conversation. An extension offers it among its services."""

    @abstractmethod
    def texts_of(self, principal: Principal) -> list[str]:
        """Return it, oldest first, to be shown to the model and to help to search. It never counts as the person's words."""


class AnswerScorer(ABC):
    """Scores finished answers, for later reports. An extension offers it among its services."""

    @abstractmethod
    def score(self, answer: Answer, parts: AgentParts) -> Mapping[str, Any]:
        """Return attributes for the span of the answer. It is called off the event loop, and raises nothing."""


@dataclass(frozen=True, kw_only=True)
class AgentParts(Context):
    """The parts that an agent adapter gets: `build(options, context: AgentParts) -> Agent`."""

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
    """The budgets that many runs share, of a day and of quotas; `None`: only those of each run."""
    answer_checks: Sequence[AnswerCheck] = ()
    services: Sequence[object] = ()
    """What extensions offer, such as a store of earlier answers; an agent finds by its class what it can use."""
    ledger: DocumentLedger | None = None
    """The store from which a tool-calling agent reads on in a document."""

    def recall(self, person: Principal) -> list[str]:
        """Return what every `PersonalMemory` holds of them. It may wait for a disk or the network."""
        memories = (service for service in self.services if isinstance(service, PersonalMemory))
        return [text for memory in memories for text in memory.texts_of(person)]

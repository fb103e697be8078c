"""What the planned agent is put together from: a planner, and a store of earlier answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from extensions.planned_agent.plan import Plan
    from foundation.types import Principal, Scope
    from orchestration.events import Answer, Path
    from orchestration.run.run import Run
    from retrieval.contract import DocumentLedger
    from retrieval.documents import Citation, Hit


@runtime_checkable
class Planner(Protocol):
    """Makes a plan from the person's words alone, before any document is read."""

    async def plan(self, question: str, tools: Sequence[BaseTool], run: Run, *, allowed: frozenset[str]) -> Plan:
        """Return a plan with `tools`. The caller may use those in `allowed`; others may be planned, and are then refused.

        An argument is a value from the question, or a reference to the result of an earlier step (`$1.order_id`); `missing` names
        those to ask for. Raises ComponentError: the model failed, or wrote a plan that cannot be parsed.
        """
        ...

    async def replan(self, plan: Plan, question: str, tools: Sequence[BaseTool], run: Run) -> Plan:
        """Return the plan with the steps that depend on a failed one replaced, or the same plan."""
        ...


@runtime_checkable
class WorksOut(Protocol):
    """Works out answers that stand in no sentence, such as the cheapest row of a table. An extension offers it among its services."""

    def work_out(
        self, question: str, hits: Sequence[Hit], scope: Scope, ledger: DocumentLedger
    ) -> dict[str, Any] | None:
        """Return the `text` and `citations` of an answer from the documents of these hits; `None`: the question is not surely understood."""
        ...


@dataclass(frozen=True, slots=True)
class Recalled:
    """An earlier answer from documents. Its sources are unchanged, and the present caller may see them."""

    kind: Literal["exact", "semantic"]
    answer_id: str
    text: str
    path: Path
    citations: tuple[Citation, ...]


@runtime_checkable
class EarlierAnswers(Protocol):
    """A store of answers from documents that may be given again. Every method raises ComponentError: it cannot be reached."""

    def now(self) -> int:
        """Return the ledger's current sequence, for `since` of `remember`."""
        ...

    async def recall(self, question: str, *, compose: str, principal: Principal) -> Recalled | None:
        """Return an answer to the question whose sources are unchanged and may be seen by the caller."""
        ...

    async def remember(self, answer: Answer, *, compose: str, principal: Principal, since: int) -> None:
        """Store an answer that was made since `since`."""
        ...

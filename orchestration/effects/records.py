"""What is recorded of every tool call, decision and answer, before its outcome is returned."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

from foundation.tracing import trace_id
from foundation.types import Principal
from orchestration.actions import Approval
from orchestration.contract import Agent
from orchestration.events import Answer, Event, Status
from orchestration.requests import Noun
from orchestration.run.wrapping import AgentWrapper


class Record(Noun):
    """One tool call, decision, answer, change of memory or switch, or erasure. Arguments, which can hold a user's
    words, appear as a hash.
    """

    act: Literal["tool", "decision", "answer", "memory", "stop", "erasure"] = "tool"
    tenant: str
    subject: str
    run_id: str
    tool: str = ""
    arguments_hash: str = ""
    outcome: Literal["done", "waiting", "denied", "failed", "decided", "stopped", "lifted"] | Status
    reason: str = ""
    rule: str = ""
    documents: tuple[str, ...] = ()
    trace_id: str | None = None
    approval_id: str | None = None
    decided_by: str | None = None
    model: str = ""
    """The chat model of the tenant."""
    manifest_id: str = ""


# Keeps a record. Raises StoreUnavailable, StorageFull: it was not written, so the outcome must not be returned
Recorder = Callable[[Record], Awaitable[None]]


class Recorders:
    """Tells every recorder of what happened."""

    def __init__(
        self,
        recorders: Sequence[Recorder] = (),
        *,
        model: str = "",
        manifest_id: str = "",
        tenant_models: Mapping[str, str] | None = None,
    ) -> None:
        self._recorders, self._manifest_id = recorders, manifest_id
        self._model, self._tenant_models = model, tenant_models or {}

    async def record(self, **fields: Any) -> None:
        """Make a `Record` and await that each recorder has kept it. Raises as a recorder does."""
        model = self._tenant_models.get(fields["tenant"], self._model)
        known = {"trace_id": trace_id(), "model": model, "manifest_id": self._manifest_id}
        record = Record(**known | fields)
        for keep in self._recorders:
            await keep(record)


class RecordedAgent(AgentWrapper):
    """Has every answer recorded before passing it on."""

    def __init__(self, inner: Agent, recorders: Recorders) -> None:
        super().__init__(inner)
        self._recorders = recorders

    async def see(self, event: Event, principal: Principal) -> None:
        if event.answer is not None:
            await self._recorders.record(**record_of_answer(event.answer, principal))


def record_of_answer(answer: Answer | Any, principal: Principal) -> dict[str, Any]:
    approval: Approval | None = getattr(answer, "approval", None)  # an object has none
    return {
        "act": "answer",
        "tenant": principal.tenant,
        # an approver resumes the run of somebody else
        "subject": approval.requested_by if approval else principal.subject,
        "run_id": answer.answer_id,
        "outcome": answer.status,
        "reason": answer.stop_reason,
        **({"model": answer.written_by} if getattr(answer, "written_by", "") else {}),
        "documents": tuple(sorted({citation.document_id for citation in answer.citations})),
        "trace_id": answer.trace_id or trace_id(),
        "arguments_hash": approval.granted_hash if approval else "",
        "approval_id": approval and approval.approval_id,
        "decided_by": approval and approval.decided_by,
    }

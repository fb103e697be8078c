"""Routes that list and decide pending approvals."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from foundation.machine.deadline import in_thread
from foundation.types import Principal, Scope
from orchestration.actions import Approval, Decision
from orchestration.events import Answer
from serving.access.identity import Decider
from serving.api.answers import as_json
from serving.api.schemas import Identifier, Pages, RequestBody, Text
from serving.http.errors import responses
from serving.http.streams import collect
from serving.runtime import Running, Runtime
from serving.wiring import System

router = APIRouter(prefix="/v1/approvals", tags=["approvals"])


# What of an answer says nothing of the documents in it
OUTCOME = {
    "answer_id",
    "thread_id",
    "question",
    "status",
    "stop_reason",
    "path",
    "usage",
    "cost_usd",
    "seconds",
    "trace_id",
    "as_of",
}
ApprovalId = Annotated[Identifier, Field(examples=["ap-1"])]


class DecisionRequest(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"approve": True, "note": "checked"}]})

    approve: bool
    note: Annotated[Text, StringConstraints(max_length=2000)] = ""
    arguments: dict[str, JsonValue] | None = Field(
        default=None, description="All arguments of the call to approve instead of the one that was asked for."
    )


class ApprovalList(BaseModel):
    approvals: list[Approval]
    next_cursor: str | None


@router.get("", responses=responses())
async def pending(caller: Decider, runtime: Running, pages: Pages) -> ApprovalList:
    """List pending approvals of your tenant, oldest first: the tool, its exact arguments, who asked, and the expiry."""
    waiting = await runtime.system.approvals.pending(caller.tenant)
    page, cursor = pages.page(waiting, lambda approval: f"{approval.requested_at.isoformat()} {approval.approval_id}")
    return ApprovalList(approvals=page, next_cursor=cursor)


@router.post("/{approval_id}", response_model=Answer, responses=responses(404, 409, 410, 504))
async def decide(approval_id: ApprovalId, body: DecisionRequest, caller: Decider, runtime: Running) -> Response:
    """Approve, as requested or with other arguments, or reject; then return the answer that was waiting.

    Takes no place in the queue of answers.

    The decision is carried out even where you disconnect: an effect is not stopped half-way.
    """
    decision = Decision(approval_id=approval_id, approve=body.approve, note=body.note, arguments=body.arguments)
    return as_json(await carry_out(decision, caller, runtime))


async def carry_out(decision: Decision, caller: Principal, runtime: Runtime) -> Answer:
    """Decide, and return the answer that was waiting as whoever decides may see it. Raises as `Agent.resume`."""
    answer = await collect(runtime.system.agent.resume(decision, caller), runtime.lifecycle)
    return await in_thread(_shown_to, answer, runtime.system, runtime.system.policy.scope(caller))


def _shown_to(answer: Answer, system: System, scope: Scope) -> Answer:
    cited = {source.document_id for source in answer.citations} | {near.document_id for near in answer.nearest}
    if all(system.ledger.text(document_id, scope) is not None for document_id in cited):
        return answer
    kept = {name: getattr(answer, name) for name in OUTCOME}
    return Answer(**kept, text="Decided. The answer is for whoever asked: it cites documents that you may not read.")

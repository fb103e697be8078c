"""Routes that list and decide pending approvals."""

from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictBool, StringConstraints

from foundation.errors import NotFound
from foundation.machine.deadline import in_thread
from foundation.types import Principal, Scope
from orchestration.actions import Approval, Decision
from orchestration.effects.approvals import DECIDED, find_duplicates, sum_up_waiting
from orchestration.effects.policy import is_same_person
from orchestration.events import Answer
from serving.access.identity import Asker, Decider
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
    model_config = ConfigDict(json_schema_extra={"examples": [{"approve": True, "reason": "checked"}]})

    approve: StrictBool
    reason: Annotated[Text, StringConstraints(max_length=2000)] = ""
    arguments: dict[str, JsonValue] | None = Field(
        default=None, description="All arguments of the call to approve instead of the one that was asked for."
    )


class WaitingApproval(Approval):
    same_as: str | None = None
    """An approval of exactly the same call: the latest that was approved, else the one that waits longest."""
    same_as_status: Literal["approved", "pending"] | None = None
    """Of `same_as`: to approve this does it again, or both do it twice."""
    waiting_of_requester: int
    """How many approvals its person waits for; at most 20."""
    amounts_of_requester: dict[str, float]
    """The sums of the amounts that its person waits for by this tool."""


class ApprovalList(BaseModel):
    approvals: list[WaitingApproval]
    next_cursor: str | None


@router.get("", responses=responses())
async def pending(caller: Decider, runtime: Running, pages: Pages) -> ApprovalList:
    """List pending approvals of your tenant, oldest first: the tool, its exact arguments, who asked, the expiry, whether the same
    was asked for before, and what else its person waits for.
    """
    store, tools = runtime.system.orchestration.approvals, runtime.system.orchestration.tools
    waiting = await store.pending(caller.tenant)
    same = find_duplicates(waiting, await store.decided(caller.tenant, limit=DECIDED))
    sums = sum_up_waiting(waiting, tools)

    def look_over(approval: Approval) -> WaitingApproval:
        twin, (many, amounts) = same.get(approval.approval_id), sums[approval.approval_id]
        known = {"same_as": twin.approval_id, "same_as_status": twin.status} if twin else {}
        return WaitingApproval(**dict(approval), **known, waiting_of_requester=many, amounts_of_requester=amounts)

    looked_over = [look_over(approval) for approval in waiting]
    page, cursor = pages.page(
        looked_over, lambda approval: f"{approval.requested_at.isoformat()} {approval.approval_id}"
    )
    return ApprovalList(approvals=page, next_cursor=cursor)


@router.post("/{approval_id}", response_model=Answer, responses=responses(404, 409, 410, 504))
async def decide(approval_id: ApprovalId, body: DecisionRequest, caller: Decider, runtime: Running) -> Response:
    """Approve, as requested or with other arguments, or reject; then return the answer that was waiting.

    Takes no place in the queue of answers.

    The decision is carried out even where you disconnect: an effect is not stopped half-way.
    """
    decision = Decision(approval_id=approval_id, approve=body.approve, reason=body.reason, arguments=body.arguments)
    return as_json(await carry_out(decision, caller, runtime))


@router.delete("/{approval_id}", response_model=Answer, responses=responses(404, 409, 410, 504))
async def withdraw(approval_id: ApprovalId, caller: Asker, runtime: Running) -> Response:
    """Withdraw a request of your own that waits; then return the answer that was waiting."""
    approval = await runtime.system.orchestration.approvals.get(approval_id, caller.tenant)
    if approval is None or not is_same_person(approval.requested_by, caller.subject):
        raise NotFound(f"You have not asked for an approval {approval_id}. Who decides for others rejects it by POST.")
    return as_json(await carry_out(Decision(approval_id=approval_id, approve=False), caller, runtime))


async def carry_out(decision: Decision, caller: Principal, runtime: Runtime) -> Answer:
    """Decide, and return the answer that was waiting as whoever decides may see it. Raises as `Agent.resume`."""
    answer = await collect(runtime.system.agent.resume(decision, caller), runtime.lifecycle)
    return await in_thread(_shown_to, answer, runtime.system, runtime.system.policy.scope(caller))


def _shown_to(answer: Answer, system: System, scope: Scope) -> Answer:
    cited = {source.document_id for source in answer.citations} | {near.document_id for near in answer.nearest}
    if all(system.retrieval.ledger.text(document_id, scope) is not None for document_id in cited):
        return answer
    kept = {name: getattr(answer, name) for name in OUTCOME}
    return Answer(**kept, text="Decided. The answer is for whoever asked: it cites documents that you may not read.")

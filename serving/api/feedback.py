"""The route that records what became of an answer: without it there is cost but no value (`make roi`)."""

from __future__ import annotations

from fastapi import APIRouter

from foundation.errors import NotFound
from observability.stores.outcomes import Outcome
from serving.access.identity import Asker
from serving.api.schemas import AnswerId, Feedback, FeedbackGiven, FeedbackList
from serving.http.errors import responses
from serving.http.paging import Pages
from serving.runtime import Running, admitted

router = APIRouter(prefix="/v1", tags=["feedback"], dependencies=[admitted("reads")])


@router.post("/answers/{answer_id}/feedback", responses=responses(404))
def give(answer_id: AnswerId, body: Feedback, caller: Asker, runtime: Running) -> FeedbackGiven:
    """Say what became of an answer of your tenant. Said again, the last word counts."""
    system = runtime.system
    if not any(charge.tenant == caller.tenant for charge in system.costs.of_answer(answer_id)):
        raise NotFound(f'No answer "{answer_id}" of your tenant. Every answer carries its answer_id.')
    outcome = system.outcomes.record(
        Outcome(
            answer_id=answer_id,
            verdict=body.verdict,
            at=system.context.clock.now(),
            recorded_by=caller.subject,
            minutes=body.minutes,
            note=body.note,
            tenant=caller.tenant,
        )
    )
    return FeedbackGiven.of(outcome)


@router.get("/feedback", responses=responses())
def given(caller: Asker, runtime: Running, pages: Pages) -> FeedbackList:
    """What your tenant said of its answers, the newest first."""
    outcomes = runtime.system.outcomes.all(origin="production", tenant=caller.tenant)
    page, cursor = pages.page(
        outcomes, lambda outcome: f"{outcome.at.isoformat()} {outcome.answer_id}", newest_first=True
    )
    return FeedbackList(feedback=[FeedbackGiven.of(outcome) for outcome in page], next_cursor=cursor)

"""Feedback on answers, without which reports know costs but no value (`make roi`)."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from extensions.feedback.store import Outcome, OutcomeStore, Verdict
from foundation.errors import NotFound
from foundation.types import Principal
from observability.stores.costs import CostLedger
from serving.access.identity import Asker
from serving.api.schemas import Identifier, Pages, Question, RequestBody
from serving.http.errors import responses
from serving.runtime import Running, Runtime, admit

router = APIRouter(prefix="/v1", tags=["feedback"], dependencies=[admit("reads")])


AnswerId = Annotated[Identifier, Field(examples=["a-1"])]

Minutes = Annotated[float, Field(ge=0, le=100_000, description="Minutes a person spent on the case.", examples=[4])]

Note = Annotated[Question, StringConstraints(max_length=20_000)]


class Feedback(RequestBody):
    """Feedback on an answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"verdict": "accepted", "minutes": 1},
                {"verdict": "edited", "edit": "It ships on Tuesdays.", "minutes": 2},
                {"verdict": "rejected", "reason": "It cites last year's price list."},
                {"verdict": "escalated", "minutes": 10},
            ]
        }
    )

    verdict: Verdict
    minutes: Minutes | None = None
    edit: Note | None = Field(default=None, description="For `edited`: the text that was used instead.")
    reason: Note | None = Field(default=None, description="For `rejected`: what was wrong with it; or for `escalated`.")

    @model_validator(mode="after")
    def _check_text(self) -> Self:
        wanted = {"edited": {"edit"}, "rejected": {"reason"}}.get(self.verdict, set())
        sent = {name for name in ("edit", "reason") if getattr(self, name) is not None}
        if sent != wanted and (self.verdict, sent) != ("escalated", {"reason"}):
            needs = "".join(wanted)
            raise ValueError(
                f'"{self.verdict}" ' + (f'needs "{needs}", and no other text' if needs else "takes no such text")
            )
        return self

    @property
    def note(self) -> str:
        """The text to store: the edited answer, or the reason."""
        return self.edit or self.reason or ""


class Given(BaseModel):
    """Feedback as stored: personal data is removed from its text."""

    answer_id: str
    verdict: Verdict
    at: datetime
    recorded_by: str
    minutes: float | None
    edit: str = ""
    reason: str = ""

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        told = {name: getattr(outcome, name) for name in ("answer_id", "verdict", "at", "recorded_by", "minutes")}
        return cls(**told, **{"edit" if outcome.verdict == "edited" else "reason": outcome.note})


class FeedbackList(BaseModel):
    feedback: list[Given]
    next_cursor: str | None


@router.post("/answers/{answer_id}/feedback", responses=responses(404))
def record(answer_id: AnswerId, body: Feedback, caller: Asker, runtime: Running) -> Given:
    """Record feedback on an answer that you asked for, or as an operator on any of your tenant. New feedback replaces the old."""
    return Given.of(give(answer_id, body, caller, runtime))


def give(answer_id: str, body: Feedback, caller: Principal, runtime: Runtime) -> Outcome:
    """As `record`. Raises NotFound: the caller may not judge this answer."""
    system = runtime.system
    charged = [charge for charge in system.observability.costs.of_answer(answer_id) if charge.tenant == caller.tenant]
    if not any(charge.subject == caller.subject or _judges(caller) for charge in charged):
        raise NotFound(f'No answer "{answer_id}" of yours. Every answer carries its answer_id.')
    outcome = Outcome(
        answer_id=answer_id,
        verdict=body.verdict,
        at=system.context.clock.now(),
        recorded_by=caller.subject,
        minutes=body.minutes,
        note=body.note,
        tenant=caller.tenant,
    )
    return system.hooks.service(OutcomeStore).record(outcome, scope=system.policy.scope(caller))


@router.get("/feedback", responses=responses())
def given(caller: Asker, runtime: Running, pages: Pages) -> FeedbackList:
    """List the feedback on your answers and what you gave, newest first; as an operator, that of your tenant, without the notes
    of people who may read what you may not.
    """
    system = runtime.system
    store = system.hooks.service(OutcomeStore)
    own = _asked_by(
        caller, system.observability.costs, [outcome.answer_id for outcome in store.all(tenant=caller.tenant)]
    )
    outcomes = store.seen_by(caller, system.policy.scope(caller), own, judges=_judges(caller))
    page, cursor = pages.page(outcomes, lambda it: f"{it.at.isoformat()} {it.answer_id}", newest_first=True)
    return FeedbackList(feedback=list(map(Given.of, page)), next_cursor=cursor)


def _asked_by(person: Principal, costs: CostLedger, answer_ids: Sequence[str]) -> set[str]:
    """Return those of the answers that a person asked for."""
    statement = (
        "SELECT DISTINCT answer_id FROM charges WHERE answer_id IN (SELECT value FROM json_each(?)) "
        "AND tenant = ? AND subject = ?"
    )
    rows = costs.select(statement, json.dumps(answer_ids), person.tenant, person.subject)
    return {answer_id for (answer_id,) in rows}


def _judges(caller: Principal) -> bool:
    return "operator" in caller.roles

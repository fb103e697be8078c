"""Routes that say what the caller has used, and what it cost."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from foundation.errors import Forbidden
from observability.stores.costs import Total
from serving.access.identity import Asker
from serving.http.errors import responses
from serving.runtime import Running, admit

router = APIRouter(prefix="/v1", tags=["usage"], dependencies=[admit("reads")])


class UsageRow(BaseModel):
    """What was used under one key: a day, a model, a kind of work, or the tenant."""

    key: str
    usd: Decimal
    """A decimal in a string; of the calls whose price is known."""
    unpriced: int
    """Calls whose price is not: with any, `usd` is a lower bound."""
    calls: int
    seconds: float
    input_tokens: int
    output_tokens: int

    @classmethod
    def of(cls, total: Total) -> UsageRow:
        return cls(**{name: getattr(total, name) for name in cls.model_fields})

    @classmethod
    def nothing(cls, key: str) -> UsageRow:
        return cls(key=key, usd=Decimal(0), unpriced=0, calls=0, seconds=0.0, input_tokens=0, output_tokens=0)


class UsageReport(BaseModel):
    since: datetime
    subject: str | None
    """Whose it is; `null`: everybody's in the tenant."""
    total: UsageRow
    by_day: list[UsageRow]
    by_model: list[UsageRow]
    """The model is empty where none was called: the machine's own time, answers given again."""
    by_kind: list[UsageRow]


@router.get("/usage", responses=responses())
def usage(
    caller: Asker,
    runtime: Running,
    days: Annotated[int, Query(ge=1, le=366, description="Whole days (UTC) back from now, today included.")] = 30,
    of: Annotated[Literal["me", "tenant"], Query(description="`tenant`: everybody's in it; operators only.")] = "me",
) -> UsageReport:
    """Calls, tokens, seconds and dollars of your answers, in all and by day, by model and by kind of work."""
    if of == "tenant" and "operator" not in caller.roles:
        raise Forbidden("What a whole tenant cost is for the role operator. Leave `of` out for your own.")
    system = runtime.system
    today = system.context.clock.now().astimezone(UTC).date()
    since = datetime.combine(today - timedelta(days=days - 1), time(), UTC)
    subject = None if of == "tenant" else caller.subject

    def rows(by: Literal["tenant", "model", "kind", "day"]) -> list[UsageRow]:
        totals = system.costs.totals(by, since=since, tenant=caller.tenant, subject=subject)
        return [UsageRow.of(total) for total in totals]

    total = next(iter(rows("tenant")), UsageRow.nothing(caller.tenant))
    by_day = sorted(rows("day"), key=lambda row: row.key)
    return UsageReport(
        since=since, subject=subject, total=total, by_day=by_day, by_model=rows("model"), by_kind=rows("kind")
    )

"""Routes that say what the caller has used, and what it cost."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from foundation.errors import Forbidden
from observability.stores.costs import By, Total
from serving.access.identity import Asker
from serving.http.errors import responses
from serving.runtime import Running, admit

router = APIRouter(prefix="/v1", tags=["usage"], dependencies=[admit("reads")])


class UsageReport(BaseModel):
    since: datetime
    subject: str | None
    """Whose it is; `null`: everybody's in the tenant."""
    total: Total
    """`usd` is a decimal in a string, of the calls whose price is known: with any `unpriced`, it is a lower bound."""
    by_day: list[Total]
    by_model: list[Total]
    """The model is empty where none was called: the machine's own time, answers given again."""
    by_kind: list[Total]


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

    def rows(by: By) -> list[Total]:
        return system.costs.totals(by, since=since, tenant=caller.tenant, subject=subject)

    total = next(iter(rows("tenant")), Total(caller.tenant, Decimal(0), 0, 0, 0.0, 0, 0))
    by_day = sorted(rows("day"), key=lambda row: row.key)
    return UsageReport(
        since=since, subject=subject, total=total, by_day=by_day, by_model=rows("model"), by_kind=rows("kind")
    )

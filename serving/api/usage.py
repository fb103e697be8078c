"""Routes that say what the caller has used, and what it cost."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from foundation.errors import Forbidden
from serving.access.identity import Asker
from serving.api.schemas import UsageReport, UsageRow
from serving.http.errors import responses
from serving.runtime import Running, admitted

router = APIRouter(prefix="/v1", tags=["usage"], dependencies=[admitted("reads")])


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

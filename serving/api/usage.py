"""The route that reports the caller's usage and its cost."""

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
    """The person whose usage this is; `null`: everybody in the tenant."""
    total: Total
    """`usd` is a decimal in a string, for calls of known price: with any `unpriced` call, it is a lower bound."""
    by_day: list[Total]
    by_model: list[Total]
    """`model` is empty for costs without a model call: the machine's own time, cached answers."""
    by_kind: list[Total]


@router.get("/usage", responses=responses())
def usage(
    caller: Asker,
    runtime: Running,
    days: Annotated[int, Query(ge=1, le=366, description="Whole days (UTC) back from now, today included.")] = 30,
    of: Annotated[Literal["me", "tenant"], Query(description="`tenant`: everybody's in it; operators only.")] = "me",
) -> UsageReport:
    """Return calls, tokens, seconds and dollars of your answers: in total, by day, by model and by kind of work."""
    if of == "tenant" and "operator" not in caller.roles:
        raise Forbidden("What a whole tenant cost is for the role operator. Leave `of` out for your own.")
    system = runtime.system
    today = system.context.clock.now().astimezone(UTC).date()
    since = datetime.combine(today - timedelta(days=days - 1), time(), UTC)
    subject = None if of == "tenant" else caller.subject

    def rows(by: By) -> list[Total]:
        return system.observability.costs.totals(by, since=since, tenant=caller.tenant, subject=subject)

    total = next(iter(rows("tenant")), Total(caller.tenant, Decimal(0), 0, 0, 0.0, 0, 0))
    by_day = sorted(rows("day"), key=lambda row: row.key)
    return UsageReport(
        since=since, subject=subject, total=total, by_day=by_day, by_model=rows("model"), by_kind=rows("kind")
    )

"""Routes for machines that watch: alive, ready, metrics."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from foundation.errors import SixplyError
from serving.access.identity import Operator, anyone
from serving.http.errors import responses
from serving.runtime import Running, Runtime

router = APIRouter(tags=["health"])


class Ready(BaseModel):
    ready: bool
    reasons: list[str]
    """Why not, a part each; empty when ready."""


@router.get("/health/live", dependencies=[Depends(anyone)])
async def live() -> dict[str, bool]:
    """The process answers. Restart it when this fails, and only then."""
    return {"live": True}


@router.get(
    "/health/ready", dependencies=[Depends(anyone)], responses={503: {"model": Ready, "description": "Not now."}}
)
def ready(runtime: Running, response: Response) -> Ready:
    """Whether to send requests here, and why not."""
    reasons = list(_reasons(runtime))
    response.status_code = 503 if reasons else 200
    return Ready(ready=not reasons, reasons=reasons)


@router.get("/metrics", responses=responses(), response_class=Response)
def metrics(_: Operator, runtime: Running) -> Response:
    """Prometheus' text format. The scraper sends an operator's key as its bearer token."""
    content, media_type = runtime.system.telemetry.metrics()
    return Response(content, media_type=media_type)


def _reasons(runtime: Runtime) -> Iterator[str]:
    """A word for each part that is not ready. Anyone may read them, so they name no path, host or tenant.

    A language model that is down is none of them: search and extractive answers go on, and each answer says so.
    """
    if runtime.lifecycle.draining:
        yield "shutting_down"
    yield from runtime.stores.reasons()
    system, reached = runtime.system, set()
    for name, store in (("ledger", system.ledger), ("vectors", system.vectors)):
        try:
            reached.add(store.sequence())
        except SixplyError as error:
            yield f"{name}: {error.code}"
    if len(reached) > 1:  # what was committed is not yet found by its meaning
        yield "index_behind"

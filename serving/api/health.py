"""Health and metrics, for whatever starts and watches the server."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import APIRouter, Depends, FastAPI, Response
from pydantic import BaseModel

from foundation import names
from foundation.errors import IndexRebuilding
from observability.telemetry import metrics
from serving.access.identity import Operator, anyone
from serving.http.errors import responses
from serving.runtime import Running, Runtime

# Seconds between two looks at the event loop
PULSE_S = 0.1


@asynccontextmanager
async def _measure(app: FastAPI) -> AsyncIterator[None]:
    runtime: Runtime = app.state.runtime
    system, watch = runtime.system, metrics.domain().watch
    watch(names.DOCUMENTS, system.retrieval.ledger.document_count)
    watch(names.CHUNKS, system.retrieval.vectors.count)
    watch(names.APPROVALS_WAITING, system.orchestration.approvals.waiting)
    watch(names.BUDGET_USED_SHARE, system.orchestration.spending.system_share, whose="system")
    watch(names.BUDGET_USED_SHARE, system.orchestration.spending.fullest_share, whose="tenant")
    for work, places in runtime.admission.items():
        metrics.domain().begin(names.REQUESTS_SHED, work=work)
        watch(names.REQUESTS_RUNNING, partial(getattr, places, "running"), work=work)
        watch(names.REQUESTS_WAITING, partial(getattr, places, "waiting"), work=work)
    beating = asyncio.create_task(_pulse())
    yield
    beating.cancel()


router = APIRouter(tags=["health"], lifespan=_measure)


class Ready(BaseModel):
    ready: bool
    reasons: list[str]
    """Reasons for not being ready, one a part; empty when ready."""


# HEAD is what `wget --spider` and many monitors send
@router.head("/health/live", dependencies=[Depends(anyone)], include_in_schema=False)
@router.get("/health/live", dependencies=[Depends(anyone)])
async def live() -> dict[str, bool]:
    """Succeed while the process responds. Restart the process only when this fails."""
    return {"live": True}


@router.head("/health/ready", dependencies=[Depends(anyone)], include_in_schema=False)
@router.get(
    "/health/ready", dependencies=[Depends(anyone)], responses={503: {"model": Ready, "description": "Not now."}}
)
def ready(runtime: Running, response: Response) -> Ready:
    """Return whether to send requests here; 503 with the reasons where not."""
    reasons = list(_reasons(runtime))
    response.status_code = 503 if reasons else 200
    return Ready(ready=not reasons, reasons=reasons)


@router.get("/metrics", responses=responses(), response_class=Response)
def read_metrics(_: Operator) -> Response:
    """Return metrics in Prometheus' text format. The scraper sends an operator's key as its bearer token."""
    content, media_type = metrics.exposition()
    return Response(content, media_type=media_type)


def _reasons(runtime: Runtime) -> Iterator[str]:
    """Yield a word for each part that is not ready. Anyone may read them: they name no path, host or tenant."""
    # a language model that is down is no reason: search and extractive answers work, and each answer says so
    if runtime.lifecycle.draining:
        yield "shutting_down"
    system = runtime.system
    ports = {"ledger": system.retrieval.ledger.sequence, "vectors": system.retrieval.vectors.sequence}
    results, failed = runtime.stores.read({**ports, "index": system.retrieval.ingestor.follow})
    index = failed.pop("index", "")  # it fails with either of them, too
    yield from (f"{name}: {code}" for name, code in failed.items())
    if index == IndexRebuilding.code:  # by another process, with parts that this one has not
        yield index
    elif not (ports.keys() & failed or results.get("index")):  # committed documents are not yet in the vector index
        yield "index_behind"


async def _pulse() -> None:
    """Measure the lag of the event loop for ever: whatever blocks it, blocks every caller."""
    observed, tasks = metrics.domain(), 0
    observed.watch(names.LOOP_TASKS, lambda: tasks)
    while True:
        due = time.monotonic() + PULSE_S
        await asyncio.sleep(PULSE_S)
        observed.time(names.LOOP_LAG_SECONDS, max(0.0, time.monotonic() - due))
        tasks = len(asyncio.all_tasks())

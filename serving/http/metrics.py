"""The route of the metrics, and what is measured only while the API is served."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import APIRouter, FastAPI, Response

from foundation import names
from observability.telemetry import metrics
from serving.access.identity import Operator
from serving.http.errors import responses
from serving.runtime import Runtime

PULSE_S = 0.1


@asynccontextmanager
async def _measure(app: FastAPI) -> AsyncIterator[None]:
    runtime: Runtime = app.state.runtime
    system, watch = runtime.system, metrics.domain().watch
    watch(names.DOCUMENTS, system.ledger.document_count)
    watch(names.CHUNKS, system.vectors.count)
    watch(names.APPROVALS_WAITING, system.approvals.waiting)
    if system.announcer:
        watch(names.APPROVALS_UNANNOUNCED, system.announcer.failed)
    if system.spending:
        watch(names.BUDGET_USED_SHARE, system.spending.system_share, whose="system")
        watch(names.BUDGET_USED_SHARE, system.spending.fullest_share, whose="tenant")
    for work, places in runtime.admission.items():
        metrics.domain().begin(names.REQUESTS_SHED, work=work)
        watch(names.REQUESTS_RUNNING, partial(getattr, places, "running"), work=work)
        watch(names.REQUESTS_WAITING, partial(getattr, places, "waiting"), work=work)
    beating = asyncio.create_task(_pulse())
    yield
    beating.cancel()


router = APIRouter(tags=["health"], lifespan=_measure)


@router.get("/metrics", responses=responses(), response_class=Response)
def read_metrics(_: Operator) -> Response:
    """Return metrics in Prometheus' text format. The scraper sends an operator's key as its bearer token."""
    content, media_type = metrics.exposition()
    return Response(content, media_type=media_type)


async def _pulse() -> None:
    """Measure the lag of the event loop for ever: whatever blocks it, blocks every caller."""
    observed, tasks = metrics.domain(), 0
    observed.watch(names.LOOP_TASKS, lambda: tasks)
    while True:
        due = time.monotonic() + PULSE_S
        await asyncio.sleep(PULSE_S)
        observed.time(names.LOOP_LAG_SECONDS, max(0.0, time.monotonic() - due))
        tasks = len(asyncio.all_tasks())

"""Health, for whatever starts and watches the server."""

from collections.abc import Iterator

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from foundation.errors import IndexRebuilding
from serving.access.identity import anyone
from serving.runtime import Running, Runtime

router = APIRouter(tags=["health"])


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


def _reasons(runtime: Runtime) -> Iterator[str]:
    """Yield a word for each part that is not ready. Anyone may read them: they name no path, host or tenant."""
    # a language model that is down is no reason: search and extractive answers work, and each answer says so
    if runtime.lifecycle.draining:
        yield "shutting_down"
    system = runtime.system
    ports = {"ledger": system.ledger.sequence, "vectors": system.vectors.sequence}
    results, failed = runtime.stores.read({**ports, "index": system.ingestor.follow})
    index = failed.pop("index", "")  # it fails with either of them, too
    yield from (f"{name}: {code}" for name, code in failed.items())
    if index == IndexRebuilding.code:  # by another process, with parts that this one has not
        yield index
    elif not (ports.keys() & failed or results.get("index")):  # committed documents are not yet in the vector index
        yield "index_behind"

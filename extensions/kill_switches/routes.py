"""Routes of the kill switches, for operators."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from extensions.kill_switches import stopping
from extensions.kill_switches.stops import Stop, Stops, parse
from serving.access.identity import Operator
from serving.api.schemas import RequestBody, Text
from serving.http.errors import responses
from serving.runtime import Running, Runtime

router = APIRouter(prefix="/v1/stops", tags=["oversight"])
What = Annotated[str, Path(max_length=200, description="effects, all, tenant:NAME or model:NAME", examples=["effects"])]


class StopRequest(RequestBody):
    reason: Text = Field(min_length=1, max_length=500, examples=["Refunds go out twice; we are looking."])


class StopList(BaseModel):
    stops: list[Stop]
    notes: list[str] = []
    """Records that are in force and could not be written everywhere yet."""


@router.get("", responses=responses())
async def stopped(_: Operator, runtime: Running) -> StopList:
    """List what is stopped, by whom and why."""
    return StopList(stops=list(_stops(runtime).list()))


@router.put("/{what}", responses=responses())
async def stop(what: What, body: StopRequest, caller: Operator, runtime: Running) -> StopList:
    """Stop every effect, a tenant, a model or everything, from the next step of any work, in every process. On a
    full disk too: `notes` says what is written later. 503 `storage_full` or `store_unavailable` means that it works
    in the process that answered, and could not be made known to others.
    """
    kind, name = parse(what)
    system = runtime.system
    notes = await stopping.stop(
        _stops(runtime), system.orchestration.recorders, kind, name, by=caller.subject, reason=body.reason
    )
    return StopList(stops=list(_stops(runtime).list()), notes=notes)


@router.delete("/{what}", responses=responses(404))
async def lift(what: What, caller: Operator, runtime: Running) -> StopList:
    """Lift a kill switch."""
    kind, name = parse(what)
    await stopping.lift(_stops(runtime), runtime.system.orchestration.recorders, kind, name, by=caller.subject)
    return StopList(stops=list(_stops(runtime).list()))


def _stops(runtime: Runtime) -> Stops:
    return runtime.system.hooks.service(Stops)

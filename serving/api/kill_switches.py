"""Kill switches over the API, for whoever operates the system."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from foundation.kill_switches import Stop, parse
from serving.access import kill_switches
from serving.access.identity import Operator
from serving.api.schemas import RequestBody, Text
from serving.http.errors import responses
from serving.runtime import Running

router = APIRouter(prefix="/v1/stops", tags=["oversight"])
What = Annotated[str, Path(max_length=200, description="effects, all, tenant:NAME or model:NAME", examples=["effects"])]


class StopRequest(RequestBody):
    why: Text = Field(min_length=1, max_length=500, examples=["Refunds go out twice; we are looking."])


class StopList(BaseModel):
    stops: list[Stop]
    notes: list[str] = []
    """What is in force and could not be written everywhere yet."""


@router.get("", responses=responses())
async def stopped(_: Operator, runtime: Running) -> StopList:
    """What is stopped, by whom and why."""
    return StopList(stops=list(runtime.system.stops.list()))


@router.put("/{what}", responses=responses())
async def stop(what: What, body: StopRequest, caller: Operator, runtime: Running) -> StopList:
    """Stop every effect, a tenant, a model or everything. It holds from the next step of any work, in every process; on a full
    disk too, where `notes` says what is written later. 503 `storage_full`, or `store_unavailable` where the disk cannot be written for
    another reason, means that it holds in the process that answered and could not be made known to others."""
    kind, name = parse(what)
    system = runtime.system
    notes = await kill_switches.stop(system.stops, system.audit, kind, name, by=caller.subject, why=body.why)
    return StopList(stops=list(system.stops.list()), notes=notes)


@router.delete("/{what}", responses=responses(404))
async def lift(what: What, caller: Operator, runtime: Running) -> StopList:
    """Let it work again."""
    kind, name = parse(what)
    await kill_switches.lift(runtime.system.stops, runtime.system.audit, kind, name, by=caller.subject)
    return StopList(stops=list(runtime.system.stops.list()))

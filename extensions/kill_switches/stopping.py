"""Kill switches that take effect at once, end runs, and are recorded, even where the disk fails at first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Literal

from extensions.kill_switches.stops import Kind, Stop, Stops
from foundation.components import Context
from foundation.errors import Stopped, StorageFull, StoreUnavailable
from foundation.machine.deadline import unless_refused
from foundation.types import Principal
from orchestration.contract import Agent
from orchestration.events import Event
from orchestration.run.answering import error_event, stream_from
from orchestration.run.wrapping import AgentWrapper

if TYPE_CHECKING:
    from orchestration.effects.records import Recorders

log = logging.getLogger("sixply.serving")

AGAIN_S = 1.0
# Most seconds that whoever stops something waits until others know of it
TELLING_S = 2.0
IN_MEMORY = (
    "It is in force in the process that answered, and is written as soon as that can be done. Until then no other process knows of it, "
    "and a restart forgets it. {advice}, then send it again."
)
UNRECORDED = "It is in force, in every process. It could not be recorded; its record follows as soon as it can be."
# Tenant of records that concern all tenants
NOBODY = "-"


def open_stops(context: Context) -> Stops:
    stops = Stops(context.data_dir / "stops.json", context.clock, context.records)
    stops.reserve()
    return stops


async def stop(stops: Stops, recorders: Recorders, kind: Kind, name: str, *, by: str, reason: str) -> list[str]:
    """Throw a kill switch, then have it recorded: stopping must not wait for a record. Return a sentence for each
    thing that could not be written; it is retried until it is. Raises StorageFull, StoreUnavailable: the switch
    works in this process only, because others cannot be told.
    """
    stops.unrecorded.append((stops.hold(kind, name, by=by, reason=reason), by))
    settling = asyncio.create_task(settle(stops, recorders))
    await asyncio.wait({settling}, timeout=TELLING_S)
    if not settling.done():  # a database that is frozen says nothing at all; the writing goes on
        settling.add_done_callback(_log_failure)
        public = IN_MEMORY.format(advice="Make the database answer")
        raise StoreUnavailable(f"The stop was not written within {TELLING_S:g} s.", public=public)
    recorded = settling.result()
    if error := stops.unwritten:
        full = isinstance(error, StorageFull)
        advice = "Free some space on the disk" if full else "Make the data folder writable, or the database answer"
        raise type(error)(str(error), public=IN_MEMORY.format(advice=advice))
    return [] if recorded else [UNRECORDED]


def _log_failure(settling: asyncio.Task[bool]) -> None:
    if not settling.cancelled() and (error := settling.exception()):
        log.error("a stop could not be written: %s", error)


async def settle(stops: Stops, recorders: Recorders) -> bool:
    """Write the pending kill switches and their records. Return whether everything is written."""
    await asyncio.to_thread(stops.write_pending)
    while stops.unrecorded:
        switch, by = stops.unrecorded.popleft()
        try:
            await recorders.record(**_record_of(switch, "stopped", by=by))
        except StoreUnavailable:
            log.exception("a stop is not recorded yet")
            stops.unrecorded.appendleft((switch, by))
            return False
    return not stops.pending


@asynccontextmanager
async def tend_records(stops: Stops, recorders: Recorders) -> AsyncIterator[None]:
    """Retry pending writes of kill switches while the context is open."""

    async def tend() -> None:
        while True:
            await asyncio.sleep(AGAIN_S)
            if stops.pending or stops.unrecorded:
                with suppress(Stopped):  # the file cannot be read: everything is stopped
                    await settle(stops, recorders)

    task = asyncio.create_task(tend())
    try:
        yield
    finally:
        task.cancel()


async def lift(stops: Stops, recorders: Recorders, kind: Kind, name: str, *, by: str) -> Stop:
    """Have it recorded, then lift the switch. Raises NotFound: nothing is stopped under this name. StorageFull,
    StoreUnavailable: it stays stopped, because lifting cannot be recorded.
    """
    await recorders.record(**_record_of(stops.find(kind, name), "lifted", by=by))
    return await asyncio.to_thread(stops.lift, kind, name)


def _record_of(switch: Stop, outcome: Literal["stopped", "lifted"], *, by: str) -> dict[str, str]:
    tenant = switch.name if switch.kind == "tenant" else NOBODY
    entry = {"tenant": tenant, "subject": by, "run_id": str(switch), "reason": switch.reason}
    return {"act": "stop", "outcome": outcome, **entry}


class StoppableAgent(AgentWrapper):
    """Ends a run when its tenant, or everything, is stopped by a kill switch. A model call under way is cancelled at
    once, and what it used is charged. Raises Stopped; otherwise as `inner`.
    """

    def __init__(self, inner: Agent, stops: Stops) -> None:
        super().__init__(inner)
        self._stops = stops

    async def _pass_on(self, events: AsyncIterator[Event], principal: Principal) -> AsyncGenerator[Event, None]:
        def demand() -> None:
            self._stops.demand("tenant", principal.tenant)

        async def emit_all(emit: Callable[[Event], None]) -> None:
            async with aclosing(events) as source:  # type: ignore[type-var]
                async for event in source:
                    emit(event)

        async def watch(emit: Callable[[Event], None]) -> None:
            # also between two events: a model may think for a minute
            await unless_refused(emit_all(emit), demand)

        demand()
        try:
            async with aclosing(stream_from(watch)) as watched:
                async for event in watched:
                    if event.kind != "token":  # words come by the dozen, and `watch` looks between them
                        demand()
                    yield event
        except Stopped as error:
            yield error_event(error)

"""What the routes reach: the wired system and the few things that only a server has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from foundation.errors import Forbidden
from foundation.types import Principal
from serving.admission import Admission, PerPerson, Work
from serving.identity import KeyStore, Permission, permissions
from serving.job_work import work_of
from serving.jobs import Jobs
from serving.lifecycle import Lifecycle, turned_away
from serving.sessions import Sessions
from serving.tokens import Callers
from serving.wiring import System

MOST_PAGES = 20
"""Of one person, open at once."""


@dataclass(frozen=True)
class Runtime:
    """One a server process, at `app.state.runtime`."""

    system: System
    callers: Callers
    sessions: Sessions
    permissions: Mapping[Permission, frozenset[str] | None]
    admission: Mapping[Work, Admission]
    lifecycle: Lifecycle
    jobs: Jobs
    sockets: PerPerson
    """The page's connections."""

    @classmethod
    def of(cls, system: System) -> Runtime:
        settings = system.settings
        http = settings.serving.http
        keys = KeyStore.of(settings, system.context.clock)
        callers = Callers.of(settings, system.context.clock)
        lifecycle = Lifecycle()
        admission: dict[Work, Admission] = {
            "answers": Admission(concurrent=http.concurrent_answers, queued=http.queued_answers, work="answers"),
            "searches": Admission(concurrent=http.concurrent_searches, queued=http.queued_searches, work="searches"),
            "writes": Admission(concurrent=http.concurrent_writes, queued=http.queued_writes, work="writes"),
            "reads": Admission(concurrent=http.concurrent_reads, queued=http.queued_reads, work="reads"),
        }
        for places in admission.values():
            lifecycle.at_end(lambda places=places: places.turn_away(turned_away()))  # type: ignore[misc]
        return cls(
            system=system,
            callers=callers,
            sessions=Sessions(keys, callers, system.cache),
            permissions=permissions(settings.orchestration.policy),
            admission=admission,
            lifecycle=lifecycle,
            jobs=Jobs(system.jobs, work_of(system, lifecycle), admission, lifecycle),
            sockets=PerPerson(MOST_PAGES, "pages"),
        )

    def demand(self, permission: Permission, principal: Principal) -> None:
        """What every route and every view asks before it does anything.

        Raises:
            Forbidden: the caller has none of the roles that hold the permission.
            Stopped: an operator has stopped the caller's tenant.
        """
        roles = self.permissions[permission]
        if roles is not None and not roles & principal.roles:
            needed = " or ".join(sorted(roles)) or "a role that nobody has"
            raise Forbidden(f"This needs the role {needed}; you have: {', '.join(sorted(principal.roles))}.")
        if permission != "operate":  # an operator must reach the switches
            self.system.stops.demand("tenant", principal.tenant)

    @asynccontextmanager
    async def place(self, work: Work) -> AsyncIterator[None]:
        """Hold a place for `work`.

        Raises:
            ShuttingDown: nothing new is taken. Overloaded: too much waits already.
        """
        self.lifecycle.refuse_while_draining()
        async with self.admission[work].place():
            yield


async def _runtime(request: Request) -> Runtime:  # FastAPI would send a plain function to a thread
    runtime: Runtime = request.app.state.runtime
    return runtime


Running = Annotated[Runtime, Depends(_runtime)]


def admitted(work: Work) -> Any:
    """A place for `work`, held from before it begins until the last byte of the response, however that ends."""

    async def hold(runtime: Running) -> AsyncIterator[None]:
        async with runtime.place(work):
            yield

    return Depends(hold)

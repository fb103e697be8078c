"""State of a server process that its routes reach: the wired system, and parts that only a server has."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request

from foundation.errors import Forbidden, StoreUnavailable
from foundation.machine.probes import Probes
from foundation.types import Principal
from models.pricing import identity
from models.resilience.resilient_chat import choices_in
from serving.access.admission import PLACES, QUEUED_SHARE, Admission, Work, answers_at_once
from serving.access.identity import KeyStore, Permission, permissions
from serving.http.lifecycle import Lifecycle, turned_away
from serving.http.middleware import UNWATCHED
from serving.wiring import System

log = logging.getLogger("sixply.serving")
T = TypeVar("T")

PROBED_S = 5.0


class StoreProbe:
    """Checks the stores that every answer needs. Anyone may ask, so what was well is not checked for `PROBED_S` seconds. Thread-safe."""

    def __init__(self, system: System, now: Callable[[], float] = time.monotonic) -> None:
        self._system, self._now, self._probes = system, now, Probes()
        self._until = -math.inf

    def read(self, fresh: Mapping[str, Callable[[], Any]]) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the results of the `fresh` reads by name, and the codes of those and of stores that fail or do not end soon."""
        stores = self._stores() if self._now() >= self._until else {}
        results, errors = self._probes.read({**stores, **fresh})
        for name, error in errors.items():
            log.error("%s: %s", name, error)  # every few seconds: no traceback
        failed = {name: getattr(error, "code", StoreUnavailable.code) for name, error in errors.items()}
        if stores and not stores.keys() & failed.keys():
            self._until = self._now() + PROBED_S
        return results, failed

    def _stores(self) -> Mapping[str, Callable[[], Any]]:
        system = self._system
        stores = dict(system.hooks.ready)
        stores |= {
            "conversations": self._read_conversations,
            "costs": lambda: system.observability.costs.of_trace("none"),
        }
        # a cache alone is no reason: answers are made anew, and say so
        if (quotas := system.settings.serving.quotas) != type(quotas)():
            stores["cache"] = lambda: asyncio.run(system.serving.cache.get("none", "none"))
        return stores

    def _read_conversations(self) -> None:
        checkpoints = self._system.parts.checkpoints
        with getattr(checkpoints, "translate_errors", nullcontext)():
            checkpoints.get_tuple({"configurable": {"thread_id": "", "checkpoint_ns": ""}})


@dataclass(frozen=True)
class Runtime:
    """The state of one server process, at `app.state.runtime`."""

    system: System
    callers: KeyStore
    permissions: Mapping[Permission, frozenset[str] | None]
    admission: Mapping[Work, Admission]
    lifecycle: Lifecycle
    stores: StoreProbe
    parts: list[object] = field(default_factory=list)
    """What extensions have of this server alone: `part` finds it by its class."""

    @classmethod
    def of(cls, system: System) -> Runtime:
        settings = system.settings
        callers = KeyStore.of(settings, system.context.clock, system.hooks.services)
        lifecycle = Lifecycle()
        answers = answers_at_once(settings.serving.http.concurrent_answers, system.models.chat)
        most: Mapping[Work, tuple[int, int]] = {"answers": (answers, math.ceil(QUEUED_SHARE * answers)), **PLACES}
        admission = {
            work: Admission(concurrent=concurrent, queued=queued, work=work)
            for work, (concurrent, queued) in most.items()
        }

        for places in admission.values():
            lifecycle.at_end(lambda places=places: places.turn_away(turned_away()))  # type: ignore[misc]
        runtime = cls(
            system=system,
            callers=callers,
            permissions=permissions(settings.orchestration.policy, system.orchestration.executor.approver_roles),
            admission=admission,
            lifecycle=lifecycle,
            stores=StoreProbe(system),
        )
        runtime.parts.extend(make(runtime) for make in system.hooks.server_parts)
        return runtime

    def choices(self, caller: Principal) -> list[str]:
        """Return the names under `[models.choices]` that the caller may choose; none where the tenant has a model of its own."""
        system = self.system
        chat = system.models.tenants.get(caller.tenant, system.models.chat)
        offered = choices_in(chat).items()
        return [name for name, it in offered if system.policy.model(identity(it)[1], caller.tenant).allowed]

    def part(self, kind: type[T]) -> T:
        """Return an extension's part of this server by its class."""
        return next(part for part in self.parts if isinstance(part, kind))

    @property
    def identity_paths(self) -> tuple[str, ...]:
        return tuple(path for surface in self.system.hooks.surfaces if surface.identify for path in surface.paths)

    @property
    def unwatched(self) -> tuple[str, ...]:
        """How the paths begin whose requests are not traced and logged one by one."""
        return (*UNWATCHED, *self.identity_paths)

    def allow(self, permission: Permission, principal: Principal) -> Principal:
        """Return the caller of an earlier request with their current rights. Raises as `KeyStore.recheck` and `demand`."""
        current = self.callers.recheck(principal)
        self.demand(permission, current)
        return current

    def demand(self, permission: Permission, principal: Principal) -> None:
        """Check a permission: every route and view before it acts, a job before each item. Raises Forbidden: the
        caller has none of the roles that hold it. Stopped: an operator has stopped the caller's tenant.
        """
        roles = self.permissions[permission]
        if roles is not None and not roles & principal.roles:
            needed = " or ".join(sorted(roles)) or "a role that nobody has"
            raise Forbidden(f"This needs the role {needed}; you have: {', '.join(sorted(principal.roles))}.")
        if permission != "operate":  # an operator must be able to reach the switches
            self.system.hooks.demand("tenant", principal.tenant)

    @asynccontextmanager
    async def place(self, work: Work, caller: Principal) -> AsyncIterator[None]:
        """Hold a place for `work`. Raises ShuttingDown: the server is stopping. Overloaded: too much is waiting."""
        self.lifecycle.refuse_while_draining()
        async with self.admission[work].place(caller):
            yield


async def _runtime(request: Request) -> Runtime:  # FastAPI would send a plain function to a thread
    runtime: Runtime = request.app.state.runtime
    return runtime


Running = Annotated[Runtime, Depends(_runtime)]


def admit(work: Work) -> Any:
    """Return a dependency that holds a place for `work` until the last byte is sent or the request ends."""

    async def hold(request: Request, runtime: Running) -> AsyncIterator[None]:
        if hasattr(request.state, "first_reply"):  # nothing will be done
            yield
            return
        async with runtime.place(work, request.state.principal):
            yield

    return Depends(hold)

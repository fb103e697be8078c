"""What the routes reach: the wired system and the few things that only a server has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from serving.admission import Admission, Work
from serving.identity import KeyStore, Permission, permissions
from serving.lifecycle import Lifecycle
from serving.wiring import System


@dataclass(frozen=True)
class Runtime:
    """One a server process, at `app.state.runtime`."""

    system: System
    keys: KeyStore
    permissions: Mapping[Permission, frozenset[str] | None]
    admission: Mapping[Work, Admission]
    lifecycle: Lifecycle

    @classmethod
    def of(cls, system: System) -> Runtime:
        settings = system.settings
        http = settings.serving.http
        return cls(
            system=system,
            keys=KeyStore.of(settings, system.context.clock),
            permissions=permissions(settings.orchestration.policy),
            admission={
                "answers": Admission(concurrent=http.concurrent_answers, queued=http.queued_answers, work="answers"),
                "searches": Admission(
                    concurrent=http.concurrent_searches, queued=http.queued_searches, work="searches"
                ),
                "writes": Admission(concurrent=http.concurrent_writes, queued=http.queued_writes, work="writes"),
            },
            lifecycle=Lifecycle(),
        )


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


Running = Annotated[Runtime, Depends(_runtime)]


def admitted(work: Work) -> Any:
    """A place for `work`, held from before it begins until the last byte of the response, however that ends."""

    async def hold(runtime: Running) -> AsyncIterator[None]:
        runtime.lifecycle.refuse_while_draining()
        async with runtime.admission[work].place():
            yield

    return Depends(hold)

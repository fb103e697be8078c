"""What the routes reach: the wired system and the few things that only a server has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from observability import metrics
from serving.admission import Admission
from serving.identity import KeyStore, Permission, permissions
from serving.lifecycle import Lifecycle
from serving.wiring import System


@dataclass(frozen=True)
class Runtime:
    """One a server process, at `app.state.runtime`."""

    system: System
    keys: KeyStore
    permissions: Mapping[Permission, frozenset[str] | None]
    admission: Admission
    lifecycle: Lifecycle

    @classmethod
    def of(cls, system: System) -> Runtime:
        settings = system.settings
        http = settings.serving.http
        admission = Admission(concurrent=http.concurrent_answers, queued=http.queued_answers)
        metrics.domain().watch(answers_running=lambda: admission.running, answers_queued=lambda: admission.waiting)
        return cls(
            system=system,
            keys=KeyStore.of(settings, system.context.clock),
            permissions=permissions(settings.orchestration.policy),
            admission=admission,
            lifecycle=Lifecycle(),
        )


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


Running = Annotated[Runtime, Depends(_runtime)]


async def _admitted(runtime: Running) -> AsyncIterator[None]:
    runtime.lifecycle.refuse_while_draining()
    async with runtime.admission.place():
        yield


admitted = Depends(_admitted)
"""Held from before the work begins until the last byte of the response, however that ends."""

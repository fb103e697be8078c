"""Where the limits plug in: the server speaks HTTP by their protocol, before it takes its first connection."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serving.hooks import Hooks
from serving.runtime import Runtime


def plug(hooks: Hooks) -> None:
    hooks.lifespans.append(_be_patient)


@asynccontextmanager
async def _be_patient(runtime: Runtime) -> AsyncIterator[None]:
    import uvicorn

    from extensions.slow_clients.patience import PatientProtocol

    for config in runtime.parts:
        if isinstance(config, uvicorn.Config):  # none where something else serves the application
            config.http_protocol_class = PatientProtocol
    yield

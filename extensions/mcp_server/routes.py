"""The MCP server over streamable HTTP: one POST per message, no sessions. extensions/mcp_server/server.py has the tools."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from anyio import TASK_STATUS_IGNORED, create_task_group, sleep_forever
from anyio.abc import TaskStatus
from fastapi import APIRouter, FastAPI, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.access.identity import Asker, refuse_other_sites
from serving.http.streams import PassedOn
from serving.runtime import Runtime

if TYPE_CHECKING:
    from mcp.server import MCPServer


class AtFirstMessage:
    """The session manager, started by the first message: importing MCP takes as long as a sixth of the whole server's start."""

    def __init__(self, start: Callable[[], Awaitable[ASGIApp]]) -> None:
        self._start = start
        self._starting = asyncio.Lock()
        self._manager: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._starting:
            self._manager = self._manager or await self._start()
        await self._manager(scope, receive, send)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Hold the tasks of the session manager, which end with the server."""
    async with create_task_group() as tasks:
        app.state.mcp = AtFirstMessage(partial(tasks.start, _manage_sessions, app.state.runtime))
        yield
        tasks.cancel_scope.cancel()


async def _manage_sessions(runtime: Runtime, *, task_status: TaskStatus[ASGIApp] = TASK_STATUS_IGNORED) -> None:
    server = await asyncio.to_thread(_open_server, runtime)
    async with server.session_manager.run():
        task_status.started(server.session_manager.asgi_app)
        await sleep_forever()


def _open_server(runtime: Runtime) -> "MCPServer[Any]":
    from mcp.server.transport_security import TransportSecuritySettings

    from extensions.mcp_server.server import mcp_server

    server = mcp_server(
        runtime.system,
        lambda context: context.request_context.request.state.principal,  # type: ignore[union-attr]  # over HTTP it has one
        runtime.lifecycle,
        place=runtime.place,
    )
    server.streamable_http_app(
        json_response=True,
        stateless_http=True,
        # serving/app.py has checked the host, and `message` checks the origin
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        max_request_body_size=runtime.system.settings.serving.http.max_json_bytes,
    )
    return server


router = APIRouter(tags=["mcp"], lifespan=lifespan)


@router.post("/mcp", include_in_schema=False)  # JSON-RPC, which describes itself to its clients
async def message(caller: Asker, request: Request) -> Response:
    """Handle a client's message with the rights of its key. The calls in it read the caller from the request."""
    del caller
    refuse_other_sites(request)  # as the protocol demands, though no browser sends a key by itself
    return PassedOn(request.app.state.mcp)

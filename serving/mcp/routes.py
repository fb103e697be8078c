"""The MCP server over streamable HTTP: one POST a message, no session to keep. What it offers: serving/mcp/server.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response

from foundation.types import Principal
from serving.access.identity import Asker
from serving.http.streams import PassedOn
from serving.runtime import Runtime


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep the session manager running; it needs the loop that serves."""
    from mcp.server.transport_security import TransportSecuritySettings

    from serving.mcp.server import mcp_server

    runtime: Runtime = app.state.runtime
    server = mcp_server(
        runtime.system,
        _caller,
        runtime.lifecycle,
        place=runtime.place,
        version=app.version,
    )
    server.streamable_http_app(
        json_response=True,
        stateless_http=True,
        # hosts and origins are looked at before any route is reached (serving/app.py)
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        max_request_body_size=runtime.system.settings.serving.http.max_json_bytes,
    )
    async with server.session_manager.run():
        app.state.mcp = server.session_manager.asgi_app
        yield


router = APIRouter(tags=["mcp"], lifespan=lifespan)


@router.post("/mcp", include_in_schema=False)  # JSON-RPC, which describes itself to its clients
async def message(caller: Asker, request: Request) -> Response:
    """A message of a client, as whom its key says. The calls in it find the caller in the request again."""
    del caller
    return PassedOn(request.app.state.mcp)


def _caller(context: Any) -> Principal:
    principal: Principal = context.request_context.request.state.principal
    return principal

"""The MCP server over streamable HTTP: one POST per message, no sessions. extensions/mcp_server/server.py has the tools."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, Request, Response

from serving.access.identity import Asker, refuse_other_sites
from serving.http.streams import PassedOn
from serving.runtime import Runtime


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Run the session manager, which needs the event loop that serves."""
    from mcp.server.transport_security import TransportSecuritySettings

    from extensions.mcp_server.server import mcp_server

    runtime: Runtime = app.state.runtime
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
    async with server.session_manager.run():
        app.state.mcp = server.session_manager.asgi_app
        yield


router = APIRouter(tags=["mcp"], lifespan=lifespan)


@router.post("/mcp", include_in_schema=False)  # JSON-RPC, which describes itself to its clients
async def message(caller: Asker, request: Request) -> Response:
    """Handle a client's message with the rights of its key. The calls in it read the caller from the request."""
    del caller
    refuse_other_sites(request)  # as the protocol demands, though no browser sends a key by itself
    return PassedOn(request.app.state.mcp)

"""Where the MCP server plugs in: its one route, which runs the session manager while the API is served, and counts for quotas."""

from serving.hooks import Hooks
from serving.http.errors import Surface


def plug(hooks: Hooks) -> None:
    hooks.routers.append("extensions.mcp_server.routes:router")
    hooks.surfaces.append(Surface(paths=("/mcp",), counted=True))

"""Where the MCP server plugs in: its one route, which runs the session manager while the API is served."""

from serving.hooks import Hooks


def plug(hooks: Hooks) -> None:
    hooks.routers.append("extensions.mcp_server.routes:router")

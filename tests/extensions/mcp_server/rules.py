"""Who may call the one route of the MCP server."""

from typing import Any

from tests.doubles.rules import Rule


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}


RULES = {
    "POST /mcp": Rule(
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
        headers={"Accept": "application/json, text/event-stream"},
        calls=(call("search", query="a"), call("answer", question="a"), call("documents")),
    )
}

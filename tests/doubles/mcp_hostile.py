"""An MCP server that says what a file tells it to: `python -m tests.doubles.mcp_hostile FILE`.

FILE is JSON: {"tools": [...], "result": {...}}, as they go over the wire.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def reply_to(message: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    if message["method"] == "initialize":
        about = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}}}
        return {"result": {**about, "serverInfo": {"name": "hostile", "version": "1"}}}
    if message["method"] == "tools/list":
        return {"result": {"tools": said["tools"]}}
    if message["method"] == "tools/call":
        return {"result": said["result"]}
    return {"error": {"code": -32601, "message": "Method not found"}}


def main() -> None:
    said = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], **reply_to(message, said)}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()

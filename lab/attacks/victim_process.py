"""The process from which the servers that are attacked are forked, so that what all of them import is imported once.

    python -m lab.attacks.victim_process

Each line of its input is an order, a list in JSON: the folder of a server, with its stack.toml, and the attack whose defence is left
out, if one is. They are the arguments of a new process, whose number is printed; it writes its address to `server.out` and serves until SIGTERM.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lab.forking import fork_for_each_order

LIBRARIES = (
    "anyio._backends._asyncio", "cryptography.fernet", "jsonschema", "langchain.agents", "langgraph.checkpoint.sqlite",
    "langgraph.graph", "mcp.server", "numpy", "numpy.typing", "opentelemetry.sdk.metrics", "opentelemetry.sdk.trace.export",
    "opentelemetry.instrumentation.genai.langchain", "regex", "uvicorn.loops.auto", "uvicorn.protocols.websockets.auto",
    "uvloop", "websockets",
)  # fmt: skip
"""Loaded by every server. Modules of ours are not: a defence that is taken out must be gone before somebody imports it."""


def main() -> None:
    """Fork a server for each order, until the input ends."""
    ours = ("lab.attacks.suite", "serving.server", "serving.settings", "serving.wiring")
    fork_for_each_order((*ours, *LIBRARIES), lambda order: _serve(*order))


def _serve(home: str, reopen: str = "") -> None:
    from lab.attacks.suite import find_attack
    from observability.telemetry.logs import set_up
    from serving.http.listening import base_url, bind
    from serving.server import serve
    from serving.settings import load
    from serving.wiring import open_system

    folder = Path(home)
    sys.argv[1:] = [home, reopen]  # as in a process of its own: a defence that is taken out may look there
    for stream, path in ((0, Path(os.devnull)), (1, folder / "server.out"), (2, folder / "server.log")):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), stream)
    loaded = load(folder / "stack.toml")
    set_up(loaded.settings.foundation.logging)
    if reopen:
        find_attack(reopen).reopen()
    with bind(loaded.settings.serving.http) as listening, open_system(loaded) as system:
        print(base_url(loaded.settings.serving.http, listening), flush=True)
        serve(system, listening)


if __name__ == "__main__":
    main()

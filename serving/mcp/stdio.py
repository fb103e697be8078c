"""Sixply as an MCP server on standard input and output."""

from __future__ import annotations

import os
from collections.abc import Sequence

from foundation.clock import SystemClock
from serving.access.identity import KeyStore, check_roles
from serving.cli.options import local
from serving.cli.served import open_or_ask
from serving.mcp.server import mcp_server
from serving.processes.lifecycle import Lifecycle
from serving.settings import Loaded

API_KEY = "SIXPLY_API_KEY"


def serve(loaded: Loaded, *, tenant: str, roles: Sequence[str], groups: Sequence[str]) -> None:
    """Serve until the client closes the connection.

    Raises:
        Unauthenticated: the key in the environment is not in the keys file. InvalidRequest: an unknown role.
    """
    settings = loaded.settings
    key = os.environ.get(API_KEY)
    check_roles(roles, settings.orchestration.policy)
    keys = KeyStore.of(settings, SystemClock())
    caller = keys.authenticate(f"Bearer {key}") if key else local(tenant, roles, groups)
    with open_or_ask(loaded, caller.roles) as system:
        try:
            mcp_server(system, lambda _: caller, Lifecycle()).run("stdio")
        except* BrokenPipeError:
            pass  # the client is gone while a reply was on its way to it; that is how clients end

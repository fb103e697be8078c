"""`sixply mcp`: an MCP server for a client that starts this command."""

import os
from typing import Annotated

import typer

from serving.cli.options import LOCAL, STACK, Groups, Stack, Tenant, load_stack, local

API_KEY = "SIXPLY_API_KEY"


def mcp(
    *,
    tenant: Tenant = LOCAL,
    roles: Annotated[list[str] | None, typer.Option("--role", help="A role. Repeatable; reader by default.")] = None,
    groups: Groups = None,
    stack: Stack = STACK,
) -> None:
    """Run as an MCP server on standard input and output, for a client that starts this command.

    With SIXPLY_API_KEY set, the caller is the owner of that key and the options are ignored.
    """
    from extensions.mcp_server.server import mcp_server
    from foundation.clock import SystemClock
    from serving.access.identity import KeyStore, check_roles
    from serving.cli.opening import open_or_ask
    from serving.http.lifecycle import Lifecycle

    loaded, roles = load_stack(stack), roles or ["reader"]
    check_roles(roles, loaded.settings.orchestration.policy)
    keys, key = KeyStore.of(loaded.settings, SystemClock()), os.environ.get(API_KEY)
    caller = keys.authenticate(f"Bearer {key}") if key else local(tenant, roles, groups or [])
    with open_or_ask(loaded, caller.roles) as system:
        try:
            mcp_server(system, lambda _: caller, Lifecycle()).run("stdio")
        except* BrokenPipeError:
            pass  # the client left before a reply arrived, which is how clients end

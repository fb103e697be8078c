"""`sixply mcp`: answer a client that starts this command."""

from __future__ import annotations

from typing import Annotated

import typer

from serving.cli.options import LOCAL, STACK, Groups, Stack, Tenant, load_stack


def mcp(
    *,
    tenant: Tenant = LOCAL,
    roles: Annotated[list[str] | None, typer.Option("--role", help="May be repeated; reader if absent.")] = None,
    groups: Groups = None,
    stack: Stack = STACK,
) -> None:
    """Be an MCP server on standard input and output, for a client that starts this command.

    With SIXPLY_API_KEY in the environment the caller is whom that key says, and the options do not count.
    """
    from serving.mcp import stdio

    stdio.serve(load_stack(stack), tenant=tenant, roles=roles or ["reader"], groups=groups or [])

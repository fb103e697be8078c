"""`sixply keys`: list, add and revoke API keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foundation.clock import SystemClock
from serving.cli import terminal
from serving.cli.options import STACK, Groups, Stack, is_to_list, load_stack

if TYPE_CHECKING:
    from serving.access.identity import KeyStore

app = typer.Typer(help="Create, list and revoke API keys.", rich_markup_mode=None, add_completion=False)


@app.callback(invoke_without_command=True)
def _list_keys(context: typer.Context, stack: Stack = STACK) -> None:
    """Create, list and revoke API keys. Without a command: list their owners; the keys themselves are stored nowhere."""
    if not is_to_list(context):
        return
    keys = _keys(stack).list()
    rows = [(it.key_id, it.subject, it.tenant, ", ".join(it.roles), ", ".join(it.groups), it.created_at) for it in keys]
    terminal.show_table(["id", "subject", "tenant", "roles", "groups", "made"], rows)


@app.command("add")
def add_key(
    subject: Annotated[str, typer.Option(help="The person or program that will use it.")],
    tenant: Annotated[str, typer.Option(help="The tenant whose documents it may read.")],
    roles: Annotated[list[str], typer.Option("--role", help="reader, agent, approver or operator. Repeatable.")],
    groups: Groups = None,
    stack: Stack = STACK,
) -> None:
    """Create a key and show it, once."""
    from foundation.settings import make_data_dir
    from serving.access.identity import check_roles

    settings = load_stack(stack).settings
    check_roles(roles, settings.orchestration.policy)
    make_data_dir(settings.foundation.data_dir)
    key = _keys(stack).create(subject=subject, tenant=tenant, roles=roles, groups=groups or [])
    terminal.console().print(f"{key}\n[dim]Keep it: it is shown once and stored nowhere. Send it as a bearer token.[/]")


@app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The id, as the list shows it.")], stack: Stack = STACK
) -> None:
    """Revoke a key, at once."""
    gone = _keys(stack).revoke(key_id)
    terminal.console().print(f"The key {key_id} of {terminal.plain(gone.subject)} no longer works.")


def _keys(stack: Path) -> KeyStore:
    from serving.access.identity import KeyStore

    return KeyStore.of(load_stack(stack).settings, SystemClock())

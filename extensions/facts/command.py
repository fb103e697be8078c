"""`sixply facts`: the remembered facts about a person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foundation.clock import SystemClock
from foundation.types import Principal
from serving.cli import terminal
from serving.cli.options import LOCAL, STACK, Json, Stack, Tenant, is_to_list, load_stack, local
from serving.settings import context_of

if TYPE_CHECKING:
    from extensions.facts.store import SqliteFacts

app = typer.Typer(help="Show or edit what is remembered about a person.", rich_markup_mode=None, add_completion=False)

User = Annotated[str | None, typer.Option("--user", help="The user; you by default.")]


@app.callback(invoke_without_command=True)
def _list_facts(
    context: typer.Context, tenant: Tenant = LOCAL, user: User = None, json: Json = None, stack: Stack = STACK
) -> None:
    """What is remembered of you, or of a user of the tenant. Without a command: list it."""
    if not is_to_list(context):
        return
    whose = _person(tenant, user)
    with _facts(stack) as facts:
        rows = facts.of(whose)
    if not terminal.write_json(json, [fact.model_dump(mode="json") for fact in rows]):
        columns = ["id", f"remembered of {whose.subject}", "since (UTC)", "approved by"]
        terminal.show_table(columns, [(it.fact_id, it.text, f"{it.at:%Y-%m-%d %H:%M}", it.approved_by) for it in rows])


@app.command("correct")
def correct_fact(
    fact: Annotated[str, typer.Argument(metavar="ID", help="The id, as the list shows it.")],
    text: Annotated[str, typer.Argument(help="The fact to remember.")],
    tenant: Tenant = LOCAL,
    user: User = None,
    stack: Stack = STACK,
) -> None:
    """Put other words in its place."""
    whose = _person(tenant, user)
    with _facts(stack) as facts:
        corrected = facts.correct(fact, text, whose)
    terminal.show(f"Remembered now: {terminal.plain(corrected.text)}")


@app.command("erase")
def erase_facts(
    fact: Annotated[str | None, typer.Argument(metavar="ID", help="The id, as the list shows it.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Erase all instead of one.")] = False,
    tenant: Tenant = LOCAL,
    user: User = None,
    stack: Stack = STACK,
) -> None:
    """Erase one, or all that is remembered of the person."""
    if (fact is None) is not every:
        raise typer.BadParameter("Name what to erase, ID, or say --all, and not both.")
    whose = _person(tenant, user)
    with _facts(stack) as facts:
        count = facts.erase_all(whose.tenant, whose.subject) if fact is None else 1
        if fact is not None:
            facts.erase(fact, whose)
    terminal.show(f"Erased: {count}.")


@contextmanager
def _facts(stack: Path) -> Iterator[SqliteFacts]:
    from extensions.facts.store import FILE, SqliteFacts

    context = context_of(load_stack(stack).settings)
    with closing(SqliteFacts(context.data_dir / FILE, SystemClock(), records=context.records)) as facts:
        yield facts


def _person(tenant: str, user: str | None) -> Principal:
    """Return the user of that name in the tenant, or the person at the keyboard."""
    return Principal(user, tenant) if user else local(tenant, [], None)

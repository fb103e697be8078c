"""Options that several commands share, and the loading of the stack they name."""

import getpass
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from foundation.errors import InvalidSetting
from foundation.types import Principal
from serving.settings import Loaded, load

LOCAL = "local"

Stack = Annotated[Path, typer.Option("--stack", envvar="SIXPLY_STACK", help="The configuration file.", dir_okay=False)]
Tenant = Annotated[str, typer.Option("--tenant", help="The tenant whose documents are used.")]
Groups = Annotated[list[str] | None, typer.Option("--group", help="A group in the tenant. Repeatable.")]
Json = Annotated[
    Path | None,
    typer.Option("--json", help="Also write JSON to this file, or - for standard output.", dir_okay=False),
]
Html = Annotated[Path | None, typer.Option("--html", help="Also write an HTML page to this file.", dir_okay=False)]
Reason = Annotated[str, typer.Option(help="The reason, stored with the decision.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Maximum number of questions.")]
STACK = Path("stack.toml")
Golden = Annotated[
    Path | None,
    typer.Option(help="A golden set as JSON lines; by default the one in the stack.", exists=True, dir_okay=False),
]


def user_name() -> str:
    """Return the name of the user who runs the command; their number where they have no name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user-{os.getuid()}"


def local(tenant: str, roles: Sequence[str], groups: Sequence[str] | None) -> Principal:
    """Return the person at the keyboard, who needs no key: they can read the data folder."""
    return Principal(f"{user_name()}@terminal", tenant, frozenset(roles), frozenset(groups or ()))


def load_stack(stack: Path, overrides: dict[str, object] | None = None) -> Loaded:
    """Read the stack. Raises as `serving.settings.load`; InvalidSetting: another one is exported by a name that no command reads."""
    exported = os.environ.get("STACK", "")
    # only a name that can be meant for us: other programs have a STACK, too
    if stack == STACK and "SIXPLY_STACK" not in os.environ and exported.endswith(".toml") and Path(exported) != stack:
        raise InvalidSetting(
            f"STACK={exported} is exported, and no command reads that. Say export SIXPLY_STACK={exported}; else unset STACK."
        )
    return load(stack, overrides=overrides)


def is_to_list(context: typer.Context) -> bool:
    """Whether a group has no command behind it. Raises BadParameter: an option stands before the command, which does not see it."""
    for name in context.params if context.invoked_subcommand else ():
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"Write --{name} behind {context.invoked_subcommand}, not before it.")
    return context.invoked_subcommand is None


def exit_unless(*, ok: bool) -> None:
    if not ok:
        raise typer.Exit(1)

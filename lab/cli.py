"""The lab's commands: `python -m lab.cli COMMAND`; `make lab` lists them. Each imports what it needs when it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from foundation.errors import SixplyError

app = typer.Typer(
    help="What proves the template.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Json = Annotated[
    Path | None,
    typer.Option("--json", help="Also write it there as JSON; - writes it to standard output.", dir_okay=False),
]


@app.callback()
def _group() -> None:
    """Typer would otherwise make a single command the whole program."""


@app.command()
def attack(
    only: Annotated[list[str] | None, typer.Option("--only", help="The name of an attack; may be repeated.")] = None,
    *,
    reopen: Annotated[
        bool, typer.Option("--reopen", help="Open each hole again first: the suite must then find it.")
    ] = False,
    json: Json = None,
) -> None:
    """Attack a running server in every way that the suite knows. Fails if anything gets through."""
    from lab.attacks import command

    raise typer.Exit(0 if command.run(only or [], reopen=reopen, json=json) else 1)


@app.command()
def fuzz(
    bodies: Annotated[int, typer.Option(min=1, help="Requests in all.")] = 10_000,
    seed: Annotated[int, typer.Option(help="The same one sends the same bodies.")] = 7,
    json: Json = None,
) -> None:
    """Send bodies of odd sizes and shapes to every route. Fails on a 500, a blocked health or memory without bound."""
    from lab import fuzz as fuzzer

    raise typer.Exit(0 if fuzzer.run(bodies=bodies, seed=seed, json_path=json) else 1)


@app.command()
def house(json: Json = None) -> None:
    """How much there is to own: lines, files by folder, longest files and functions, names, beside what is aimed at."""
    from lab import house as counting

    counting.run(json)


def main() -> None:
    """Run the command; a failure is one sentence on standard error."""
    try:
        app()
    except SixplyError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

"""What make can do, and with which values: the rules of the Makefile, and the commands that its one rule for all of them reaches."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from foundation import extensions
from serving.cli import main, make

ROOT = Path(__file__).parents[1]
LAB = ROOT / "lab" / "lab.mk"
PROGRAMS = [
    "serving.cli.main",
    *(f"{folder}.cli" for folder in ("examples", "lab") if (ROOT / folder / "cli.py").exists()),
]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
COMMANDS: dict[str, Any] = {
    name: command
    for program in PROGRAMS
    for name, command in vars(typer.main.get_command(import_module(program).app))["commands"].items()
} | dict(
    main._Commands(
        {
            name: place
            for group in main.list_commands(extensions.installed()).values()
            for name, (place, _) in group.items()
        }
    ).items()
)
"""Command -> as typer has it; also those of extensions that are off."""
RULES: dict[str, set[str]] = {
    "lab": set(),
    **{
        name: set(" ".join(re.findall(rf"^{name}\.takes := (.*)", MAKEFILE, re.MULTILINE)).split())
        for name in re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE)
    },
    **{name: set(make.parameters_of(command)) for name, command in COMMANDS.items()},
}
"""Target -> the names of the values that it takes."""


def to_arguments(command: str, **values: str) -> list[str]:
    """What `sixply` is called with where a page says `make COMMAND NAME=value`; `values` replace those of the page."""
    _, name, *words = shlex.split(command)
    given = dict(word.split("=", 1) for word in words)
    return [name, *make.to_arguments(COMMANDS[name], given | values)]

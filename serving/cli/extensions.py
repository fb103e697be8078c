"""`sixply extensions`, `add` and `remove`: list extensions, and turn them on and off in stack.toml."""

import json as jsons
import re
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from foundation import extensions as declared
from foundation.errors import InvalidRequest, InvalidSetting
from serving.cli import terminal
from serving.cli.options import STACK, Json, Stack, load_stack

Name = Annotated[str, typer.Argument(help="The folder in extensions/.")]
LIST = re.compile(r"^extensions\s*=\s*\[[^\]]*\]", re.MULTILINE)


@dataclass(frozen=True)
class Listed:
    """One extension, as `make extensions` lists it."""

    name: str
    on: bool
    lines: int
    requires: tuple[str, ...]
    extra: str
    about: str

    @property
    def needs(self) -> str:
        return ", ".join((*self.requires, *([f"WITH={self.extra}"] if self.extra else [])))


def list_extensions(stack: Path) -> list[Listed]:
    """Return every extension that is installed. Raises InvalidSetting: one declares nothing."""
    on = declared.read_names(stack)
    return [
        Listed(name, name in on, _count_lines(name), found.requires, found.extra, found.about)
        for name in declared.installed()
        for found in [declared.find(name)]
    ]


def extensions(json: Json = None, stack: Stack = STACK) -> None:
    """List extensions: whether each is on, its size, what it needs and what it does."""
    listed = list_extensions(stack)
    if not terminal.write_json(json, {"extensions": [asdict(row) for row in listed]}):
        rows = [(row.name, "on" if row.on else "", str(row.lines), row.needs, row.about) for row in listed]
        terminal.show_table(["extension", "", "lines", "needs", "what a system has with it"], rows)


def add(name: Name, stack: Stack = STACK) -> None:
    """Turn an extension on, with those it requires. One that is not in this project is fetched from the template."""
    on = declared.read_names(stack)
    if name not in declared.installed():
        _bring(name, on)
    wanted = [each for each in _with_required(name) if each not in on]
    if not wanted:
        terminal.show(f'"{name}" is on already.')
        return
    _write_list(stack, [*on, *wanted])
    for each in wanted:
        extra = declared.find(each).extra
        terminal.show(f"{each} is on.{f' Its packages: make setup WITH={extra}' if extra else ''}")


def remove(
    name: Name,
    *,
    keep_data: Annotated[bool, typer.Option("--keep-data", help="Turn it off and keep its data.")] = False,
    stack: Stack = STACK,
) -> None:
    """Turn an extension off. Erase, retention and doctor still read what it stored."""
    on = declared.read_names(stack)
    if name not in on:
        raise InvalidRequest(f'"{name}" is not on. {stack} lists: {", ".join(on) or "none"}.')
    left = [each for each in on if each != name]
    there = {*declared.installed()}
    if needing := [each for each in left if each in there and name in declared.find(each).requires]:
        raise InvalidRequest(f'"{needing[0]}" requires "{name}". Turn that off first: make remove NAME={needing[0]}')
    # one that is gone is taken from the list alone: with it no settings can be read
    looked_at = name in there and not keep_data
    if looked_at and (files := declared.find_data(name, load_stack(stack).settings.foundation.data_dir)):
        raise InvalidRequest(
            f'"{name}" has stored {", ".join(files)} in the data folder. Delete what you need no more; or turn it off and leave '
            f"them, and erase and retention go on reading them: make remove NAME={name} KEEP_DATA=1"
        )
    _write_list(stack, left)
    terminal.show(f"{name} is off.")


def _bring(name: str, on: Sequence[str]) -> None:
    """Let the extension that can fetch others fetch this one, where one is on."""
    there = {*declared.installed()}
    for reference in (declared.find(each).bring for each in on if each in there):
        if reference:
            declared.resolve(reference)(name)


def _with_required(name: str) -> list[str]:
    """Return what the extension requires, and what that does, then itself. Raises UnknownPart: there is no such extension."""
    names: list[str] = []
    for other in declared.find(name).requires:
        names += [each for each in _with_required(other) if each not in names]
    return [*names, name]


def _write_list(stack: Path, names: Sequence[str]) -> None:
    """Write the list into stack.toml. Raises InvalidSetting: its other lines would not stay as they are."""
    text = stack.read_text(encoding="utf-8")
    line = f"extensions = {jsons.dumps([*names])}"
    head, section, rest = text.partition("\n[")
    edited = LIST.sub(line, head, count=1) if LIST.search(head) else f"{head.rstrip()}\n\n{line}\n"
    after: dict[str, object] = {}
    with suppress(tomllib.TOMLDecodeError):
        after = tomllib.loads(f"{edited}{section}{rest}")
    if after != tomllib.loads(text) | {"extensions": [*names]}:
        raise InvalidSetting(f"{stack} could not be edited safely, and was left alone. Write there yourself: {line}")
    stack.write_text(f"{edited}{section}{rest}", encoding="utf-8")


def _count_lines(name: str) -> int:
    folders = [Path(path) / name for path in import_module("extensions").__path__]
    files = [file for folder in folders for file in folder.rglob("*.py")]
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)

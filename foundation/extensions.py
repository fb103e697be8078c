"""Extensions: folders of `extensions/` that the list `extensions = [...]` of stack.toml turns on.

The core knows what an extension declares here, and never its code: what it does, it plugs into the hooks of an open system (serving/hooks.py).
Only the standard library is imported, since `--help` reads the declarations.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import InvalidSetting, SixplyError, UnknownPart, did_you_mean

if TYPE_CHECKING:
    from foundation.stores.registry import Store


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that an extension adds to the command line, and so to `make`."""

    name: str
    group: str
    about: str
    call: str
    """The function, or the program of several commands: "extensions.notes.command:note"."""


@dataclass(frozen=True, kw_only=True)
class Extension:
    """What an extension says of itself. Every reference is "package.module:attribute", and is imported when it is needed."""

    about: str
    """One sentence: what a system has with it."""
    requires: tuple[str, ...] = ()
    """Other extensions, without which it does not work. It may import no other."""
    extra: str = ""
    """The packages that it needs, as `make setup WITH=` names them."""
    settings: str = ""
    """The class of its section in stack.toml, which has its name and a default for each key."""
    stores: str = ""
    """Its `Store`s. They are read while it is off, too: what it kept of people can always be erased."""
    parts: tuple[tuple[str, str], ...] = ()
    """Adapters that belong together, by place and module: ("retrieval.ledger/acme", "extensions.acme.ledger")."""
    parts_while_off: bool = False
    """Whether its adapters may be named while it is off, as those that keep nothing and plug in nowhere."""
    commands: tuple[Command, ...] = ()
    serve: str = ""
    """`serve(loaded, announce) -> bool`: serves in the place of `make serve`'s one process, or says that it does not."""
    bring: str = ""
    """`bring(name)`: fetches an extension that is not here, for `make add`; it returns where it cannot."""
    plug: str = ""
    """`plug(hooks)`, which is called whenever a system is opened."""


def installed() -> list[str]:
    """Return the names of all extensions that are here, on or off."""
    folders = [folder for path in import_module("extensions").__path__ for folder in os.scandir(path)]
    return sorted(folder.name for folder in folders if Path(folder.path, "__init__.py").is_file())


def find(name: str) -> Extension:
    """Return what an extension declares. Raises UnknownPart: there is none of this name. InvalidSetting: it declares nothing."""
    if name not in installed():
        raise UnknownPart(
            f'There is no extension "{name}" in extensions/. {did_you_mean(name, installed())} make extensions lists them.'
        )
    return _read_declaration(name)


def _read_declaration(name: str) -> Extension:
    extension = resolve(f"extensions.{name}:extension")
    if not isinstance(extension, Extension):
        raise InvalidSetting(f"extensions/{name}/__init__.py has no `extension = Extension(about=...)`. Give it one.")
    return extension


def stores() -> list[Store]:
    """Return the stores of every extension that is installed, on or off."""
    named = [_read_declaration(name).stores for name in installed()]
    return [store for reference in named if reference for store in resolve(reference)]


def find_parts() -> dict[str, tuple[str, str]]:
    """Return the adapters of every extension that is installed, on or off, by place: the module, and whose it is."""
    declared: dict[str, Extension] = {}
    for name in installed():
        with suppress(SixplyError):  # one that cannot be loaded is told of where it is turned on
            declared[name] = _read_declaration(name)
    return {place: (module, name) for name, extension in declared.items() for place, module in extension.parts}


def find_modules(port: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return the modules of the adapters that these extensions bring to a port."""
    return tuple(
        module for place, (module, name) in find_parts().items() if name in {*names} and place.startswith(f"{port}/")
    )


def find_data(name: str, data_dir: Path) -> list[str]:
    """Return the files of a data folder that the extension's stores claim."""
    reference = find(name).stores
    files = sorted(path.relative_to(data_dir) for path in data_dir.rglob("*") if path.is_file()) if reference else []
    return [str(file) for file in files if any(store.claims(file) for store in resolve(reference))]


def turn_on(names: Iterable[str]) -> dict[str, Extension]:
    """Return the extensions of these names, each behind those that it requires.

    Raises UnknownPart: there is none of a name. InvalidSetting: one that is required is off, or two require each other.
    """
    found = {name: find(name) for name in names}
    for name, extension in found.items():
        if lacking := [other for other in extension.requires if other not in found]:
            raise InvalidSetting(
                f'The extension "{name}" requires "{lacking[0]}", which is off. Turn it on, too: make add NAME={lacking[0]}'
            )
    try:
        order = TopologicalSorter({name: extension.requires for name, extension in found.items()}).static_order()
        return {name: found[name] for name in order}
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise InvalidSetting(f"These extensions require each other, so none can be first: {circle}.") from error


def explain_unknown_command(command: str) -> str:
    """Return which extension that is off brings a command; an empty text where none does."""
    owners = [name for name in installed() if command in {each.name for each in _read_declaration(name).commands}]
    return (
        f'"{command}" comes with the extension "{owners[0]}", which is off. Turn it on: make add NAME={owners[0]}'
        if owners
        else ""
    )


def resolve(reference: str) -> Any:
    """Return what "package.module:attribute" names, `None` without a module of ours or an attribute; what importing it raises, in a sentence."""
    module, _, attribute = reference.partition(":")
    try:
        return getattr(import_module(module), attribute, None)
    except SixplyError:
        raise
    except Exception as error:  # whatever foreign code raises
        name = module.split(".")[1]
        raise InvalidSetting(
            f'The extension "{name}" cannot be loaded, {module} failed with {type(error).__name__}: {error}. '
            f"Mend it, or turn it off: make remove NAME={name}"
        ) from error


def read_names(stack: Path, profile: str | None = None) -> tuple[str, ...]:
    """Return the names of the extensions that are on, without reading any other setting. What is malformed turns nothing on:
    whoever reads the settings is told what is wrong with it.
    """
    listed: Any = None
    with suppress(OSError, ValueError, LookupError, AttributeError, TypeError):
        file = tomllib.loads(stack.read_text(encoding="utf-8-sig"))
        listed = file.get("extensions")
        listed = file["profiles"][profile or os.environ["SIXPLY_PROFILE"]]["extensions"]
    with suppress(LookupError, ValueError):
        listed = json.loads(os.environ["SIXPLY__EXTENSIONS"])
    return tuple(name for name in listed if isinstance(name, str)) if isinstance(listed, list) else ()

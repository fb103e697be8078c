"""Loading of parts by name: a port is a folder, an adapter one file in it, and the folder is the registry. Extensions bring more.

An adapter has `Options`, `build(options, context)`, and `stores(options)` if it keeps anything. `use = "chroma"` names a file of the
folder, `use = "package.module:attribute"` another adapter's `build`, or a class of the ecosystem, called with the options as keywords.
"""

import pkgutil
import re
import tomllib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from foundation import extensions
from foundation.clock import Clock, SystemClock
from foundation.errors import InvalidSetting, MissingDependency, SixplyError, UnknownPart, UnknownSetting, did_you_mean
from foundation.settings import BESIDE_STACK, Part, find_mistake
from foundation.stores.registry import Store
from foundation.stores.sqlite_file import Open, SqliteFile

Built = TypeVar("Built")
# Types of pydantic's errors for text where a table or a list belongs
WRITTEN_AS_JSON = ("dict_type", "mapping_type", "model_type", "list_type", "tuple_type", "set_type", "frozen_set_type")

# Section of stack.toml -> folder of its adapters. Parsers are chosen by file type, not by a section.
PORTS = {
    "foundation.records": "foundation.records",
    "models.chat": "models.chat",
    "models.embedder": "models.embedders",
    "models.reranker": "models.rerankers",
    "models.entailment": "models.entailment",
    "models.prices": "models.prices",
    "retrieval.recogniser": "retrieval.recognisers",
    "retrieval.chunker": "retrieval.chunkers",
    "retrieval.ledger": "retrieval.ledgers",
    "retrieval.vectors": "retrieval.vectors",
    "orchestration.agent": "orchestration.agents",
    "orchestration.policy.approver": "orchestration.approvers",
    "orchestration.checkpoints": "orchestration.checkpoints",
    "orchestration.tools": "orchestration.tools",
    "observability.exporters": "observability.exporters",
    "serving.cache": "serving.caches",
}


@dataclass(frozen=True)
class Context:
    """Settings and services of the system that every part gets."""

    data_dir: Path
    clock: Clock = field(default_factory=SystemClock)
    seed: int = 7
    threads: int = 2
    machine_usd_per_hour: float = 0.10
    records: Open = SqliteFile
    parsers: tuple[str, ...] = ()
    """Modules of the parsers that extensions bring."""
    recogniser: str = ""
    """`[retrieval.recogniser]` as JSON; empty: the parser of pictures chooses."""
    stack_dir: Path = Path()
    """Folder of stack.toml, to which the fields of `Options` that are marked `BESIDE_STACK` are relative."""


def available(section: str) -> list[str]:
    """Return the names of a port's adapters, sorted."""
    return sorted(find_modules(section))


def find_modules(section: str) -> dict[str, str]:
    """Return a port's adapters, name and module: the files of its folder, and what extensions bring, on or off.

    Raises InvalidSetting: two have one name.
    """
    folder = PORTS.get(section, section)
    found = {file.name: f"{folder}.{file.name}" for file in pkgutil.iter_modules(import_module(folder).__path__)}
    for place, (module, extension) in extensions.find_parts().items():
        port, _, name = place.partition("/")
        if port == section and found.setdefault(name, module) != module:
            raise InvalidSetting(
                f'The extension "{extension}" brings {module} as "{name}", and so does {found[name]}. Rename that file.'
            )
    return found


def load(section: str, part: Part, context: Context, *, expected: type | None = None) -> Any:
    """Build the part that `[section] use = ...` names.

    Raises UnknownPart, UnknownSetting, InvalidSetting; MissingDependency: the adapter's package is not installed.
    """
    module, attribute = _find(section, part.use)
    try:
        built = _build(section, part, module, attribute, context)
    except ModuleNotFoundError as error:
        raise _missing(section, part.use, error) from error
    if expected is not None and not isinstance(built, expected):
        members = dir(expected) if getattr(expected, "_is_protocol", False) else []
        lacking = [name for name in members if not name.startswith("_") and not hasattr(built, name)]
        why = f", as it has no {', '.join(lacking)}" if lacking else ""
        raise InvalidSetting(
            f'[{section}] use = "{part.use}" made a {type(built).__name__}, which is no {expected.__name__}{why}. '
            f"Name a part of that kind. {did_you_mean(part.use, available(section))}"
        )
    return built


class Assembly:
    """The open parts of a running system, which close in reverse order."""

    def __init__(self, context: Context, opened: ExitStack) -> None:
        self.context = context
        self._opened = opened

    def keep(self, built: Built) -> Built:
        """Return `built`, and close it when the system closes."""
        if hasattr(built, "close"):
            self._opened.callback(built.close)
        return built

    def part(self, section: str, chosen: Part, expected: type | None = None, *, context: Context | None = None) -> Any:
        """Load a part and keep it. Raises as `load`."""
        return self.keep(load(section, chosen, context or self.context, expected=expected))


def options_of(section: str, use: str) -> type[BaseModel] | None:
    """Return the adapter's `Options`; `None` for a class of the ecosystem, which checks its own keywords."""
    module, attribute = _find(section, use)
    return getattr(module, "Options", None) if attribute == "build" else None


def checked_options(section: str, part: Part) -> BaseModel | None:
    """Check the part's options without building it; return `None` for a class of the ecosystem. Raises as `load`."""
    module, attribute = _find(section, part.use)
    return _validate_options(section, part, module) if attribute == "build" else None


def stores_of(section: str, part: Part) -> Sequence[Store] | None:
    """Return the part's stores without building it; `None` where it declares none, as a class of the ecosystem. Raises as `load`."""
    module, _ = _find(section, part.use)
    tell: Callable[[BaseModel], Sequence[Store]] | None = getattr(module, "stores", None)
    return tell(_validate_options(section, part, module)) if tell else None


def search_of(section: str, part: Part, passages: int) -> str | None:
    """Say what searches so many passages, and from how many another does; `None` where the part does not say. Raises as `load`."""
    module, _ = _find(section, part.use)
    tell: Callable[[BaseModel, int], str] | None = getattr(module, "describe_search", None)
    return tell(_validate_options(section, part, module), passages) if tell else None


def _find(section: str, use: str) -> tuple[ModuleType, str]:
    modules = {} if ":" in use else find_modules(section)
    name, _, attribute = use.partition(":") if ":" in use else (modules.get(use, use), "", "build")
    if ":" not in use and use not in modules:
        folder = PORTS.get(section, section).replace(".", "/")
        outside = f' One from outside of the tree has a colon: "{use}:build".' if "." in use else ""
        raise UnknownPart(f'No adapter "{use}" in {folder}. {did_you_mean(use, sorted(modules))}{outside}')
    if not name or name.startswith("."):
        raise UnknownPart(f'[{section}] use = "{use}" names no module. Write "package.module:attribute".')
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise UnknownPart(
                f'[{section}] use = "{use}": there is no module "{name}". Install it or correct it.'
            ) from error
        raise _missing(section, use, error) from error
    if not callable(getattr(module, attribute, None)):
        own = [
            member
            for member, value in vars(module).items()
            if not member.startswith("_") and str(getattr(value, "__module__", "")).startswith(module.__name__)
        ]
        raise UnknownPart(f'[{section}] use = "{use}": {name} has no "{attribute}". {did_you_mean(attribute, own)}')
    return module, attribute


def _build(section: str, part: Part, module: ModuleType, attribute: str, context: Context) -> Any:
    factory: Callable[..., Any] = getattr(module, attribute)
    if attribute == "build":
        options = _validate_options(section, part, module)
        marked = {name for name, field in type(options).model_fields.items() if field.json_schema_extra == BESIDE_STACK}
        beside = {name: context.stack_dir / path for name, path in options if path and name in marked}
        return factory(options.model_copy(update=beside), context)
    # the folder may know how to make the port of a class of the ecosystem
    adopt = getattr(import_module(PORTS.get(section, section)), "adopt", lambda built, _: built)
    try:
        return adopt(factory(**part.options), part)
    except (SixplyError, ModuleNotFoundError):
        raise
    except Exception as error:  # every vendor has exceptions of its own
        raise InvalidSetting(f'[{section}] use = "{part.use}" refused its options: {error}') from error


def _validate_options(section: str, part: Part, module: ModuleType) -> BaseModel:
    options: type[BaseModel] | None = getattr(module, "Options", None)
    if options is None:
        raise InvalidSetting(f'[{section}] use = "{part.use}": {module.__name__} has no class Options. Give it one.')
    try:
        return options(**part.options)
    except ValidationError as error:
        key, why, hint = find_mistake(error, options, beside=Part.model_fields)
        if hint is not None:
            raise UnknownSetting(f'[{section}] "{part.use}" has no option "{key}". {hint}') from error
        wants_json = isinstance(part.options.get(key), str) and error.errors()[0]["type"] in WRITTEN_AS_JSON
        how = """ In a variable it is JSON, such as '{"key": true}' or '["one", "two"]'.""" if wants_json else ""
        raise InvalidSetting(f'[{section}] option "{key}" of "{part.use}" does not fit: {why}.{how}') from error


def _missing(section: str, use: str, error: ModuleNotFoundError) -> SixplyError:
    package = error.name or ""
    install = f"make setup, or install it: .venv/bin/python -m pip install {_distribution_of(package)}"
    _, brought_by = extensions.find_parts().get(f"{section}/{use}", ("", ""))
    remedy = f"make setup WITH={extra}" if (extra := extra_of(package, brought_by)) else install
    return MissingDependency(
        f'[{section}] use = "{use}" needs the Python package "{error.name}", which is not installed. Run: {remedy}'
    )


def _distribution_of(package: str) -> str:
    return package.replace(".", "-").replace("_", "-").lower()


def extra_of(package: str, extension: str = "") -> str | None:
    """Return the extra of `make setup WITH=...` that installs an imported package; `None`: there is none.

    Of several it is the one of the extension that asks.
    """
    wanted = _distribution_of(package)
    extras = next((extras for name, extras in _extras().items() if f"{wanted}-".startswith(f"{name}-")), [""])
    own = extensions.find(extension).extra if extension else ""
    return (own if own in extras else extras[0]) or None


@cache
def _extras() -> dict[str, list[str]]:
    """Return the packages of `make setup WITH=...` with their extras; empty outside of the repository."""
    try:
        project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, KeyError):
        return {}
    extras: dict[str, list[str]] = {}
    for extra, pins in project["optional-dependencies"].items():
        for pin in pins:
            extras.setdefault(re.split(r"[\[<>=;~! ]", pin)[0].lower(), []).append(extra)
    return extras

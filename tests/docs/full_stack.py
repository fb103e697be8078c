"""Write docs/reference/stack.full.toml from the code: every setting and option, with its default as a comment."""

from __future__ import annotations

import importlib
import json
import textwrap
import typing
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from extensions.development.list_parts import Adapter, adapters
from extensions.development.ports import CONTRACTS
from foundation import extensions
from foundation.components import find_modules
from foundation.settings import Part
from foundation.types import LAYERS
from serving.settings import Settings
from tests.docs.pages import attribute_docs, first_sentence

HEAD = """# Every setting and every option of a part, with its default: copy a line into your stack.toml, without the "# ", to change it.
# Made from the code by `make docs`; a test fails where the code says something else. What has no default says what it is.
# Each value can come from the environment instead: SIXPLY__SERVING__HTTP__PORT=8700 is `port` of [serving.http].
"""
DEFAULT, OTHER = "# ", "#   "
"""What stands before a default, and before what belongs to another choice than the default one."""


def full_stack() -> str:
    known = {(adapter.port, adapter.name): adapter for adapter in adapters()}
    lines = [HEAD, "extensions = []  # by name, of extensions/: `make extensions` lists them\n"]
    for layer in (layer for layer in LAYERS if layer in Settings.model_fields):
        lines += section(layer, Settings.model_fields[layer].get_default(call_default_factory=True), known)
    for name in extensions.installed():
        if kind := extensions.find(name).settings:
            lines += section(name, extensions.resolve(kind)(), known)
    return "\n".join(lines)


def section(name: str, default: BaseModel, known: Mapping[tuple[str, str], Adapter]) -> Iterator[str]:
    """The lines of a section that is there by default, then those of the sections below it."""
    kind = type(default)
    own, below = [], []
    for key, field in kind.model_fields.items():
        place, value = f"{name}.{key}", getattr(default, key)
        if place in CONTRACTS:
            below += part(place, value, known)
        elif isinstance(value, BaseModel) and not isinstance(value, Part):
            below += section(place, value, known)
        elif models := [model for model in models_in(field.annotation) if not issubclass(model, Part)]:
            below += possible(place, field, models[0], attribute_docs(kind).get(key, ""))
        else:
            own.append(line(key, value, attribute_docs(kind).get(key, ""), field, before=DEFAULT))
    about = shortened(kind.__doc__) if "__doc__" in vars(kind) else ""
    if own:
        yield "\n".join([*([f"# {about}"] if about else []), f"[{name}]", *own, ""])
    yield from below


def part(place: str, chosen: Any, known: Mapping[tuple[str, str], Adapter]) -> Iterator[str]:
    """The lines of a port: its default adapter, then the others."""
    listed = isinstance(chosen, tuple)
    default = next((each.use for each in (chosen if listed else [chosen]) if each), None)
    names = sorted((name for port, name in known if port == place), key=lambda name: (name != default, name))
    head = f"[[{place}]]" if listed else f"[{place}]"
    lines = [head if default else f"# {head}"]
    for name in names:
        before = DEFAULT if name == default else OTHER
        lines.append(f'{before}use = "{name}"'.ljust(40) + f"  # {known[place, name].what}")
        lines += options(place, name, before=before if name == default else f"{OTHER}  ")
    yield "\n".join([*lines, ""])


def options(place: str, name: str, *, before: str) -> Iterator[str]:
    try:
        kind = getattr(importlib.import_module(find_modules(place)[name]), "Options", None)
    except ModuleNotFoundError:  # its package is not installed here
        return
    for key, field in kind.model_fields.items() if kind else ():
        value = field.get_default(call_default_factory=True)
        yield line(key, value, attribute_docs(kind).get(key, ""), field, before=before)


def possible(place: str, field: FieldInfo, kind: type[BaseModel], about: str) -> Iterator[str]:
    """The lines of a section that is not there by default."""
    keyed = any(word in str(field.annotation) for word in ("Mapping", "dict"))
    listed = any(word in str(field.annotation) for word in ("tuple", "list", "Sequence")) and not keyed
    name = f"{place}.NAME" if keyed else place
    lines = [f"# {about}"] if about else []
    lines.append(f"{OTHER}[[{name}]]" if listed else f"{OTHER}[{name}]")
    for key, inner in kind.model_fields.items():
        value = inner.get_default(call_default_factory=True)
        lines.append(line(key, value, attribute_docs(kind).get(key, ""), inner, before=OTHER))
    yield "\n".join([*lines, ""])


def line(key: str, value: Any, about: str, field: FieldInfo, *, before: str) -> str:
    says = shortened(about or field.description)
    if field.default_factory is not None and isinstance(value, int | float | str):
        return f"{before}{key}: from the machine. {says}".rstrip()
    if value is PydanticUndefined or value is None:
        state = "must be given" if value is PydanticUndefined else "unset"
        return f"{before}{key}: {state}. {says}".rstrip()
    written = f"{before}{key} = {toml(value)}"
    return f"{written.ljust(40)}  # {says}" if says else written


def toml(value: Any) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{key} = {toml(each)}" for key, each in value.items() if each is not None)
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, tuple | list | set | frozenset):
        return f"[{', '.join(map(toml, sorted(value) if isinstance(value, set | frozenset) else value))}]"
    if isinstance(value, BaseModel):
        return toml(value.model_dump(mode="json", exclude_none=True))
    return json.dumps(value if isinstance(value, bool | int | float | str) else str(value), ensure_ascii=False)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from models_in(inner)


def shortened(text: str | None) -> str:
    return textwrap.shorten(first_sentence(text), 150, placeholder=" ...")

"""Write the reference pages of docs/reference from the code: `python -m tests.docs.reference`, which `make docs` runs first."""

from __future__ import annotations

import ast
import inspect
import re
import tempfile
import typing
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

from fastapi.routing import iter_route_contexts
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from extensions.development.list_parts import Adapter, adapters
from extensions.development.ports import CONTRACTS, Port
from foundation import errors, extensions, names
from foundation.errors import SixplyError
from foundation.settings import Part
from foundation.types import LAYERS
from observability.telemetry import metrics
from serving.app import create_app
from serving.cli import make
from serving.cli.main import list_commands
from serving.settings import Settings
from tests.docs.full_stack import full_stack
from tests.docs.pages import attribute_docs, first_sentence
from tests.doubles.serving import world
from tests.make_rules import COMMANDS as TYPER_COMMANDS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "reference"
MADE = "Made from the code by `make docs`; a test fails where the code says something else.\n"


def table(*columns: str) -> str:
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n"


def row(*cells: str) -> str:
    plain = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(plain)} |\n"


def sections(kind: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation names."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for inner in typing.get_args(kind):
        yield from sections(inner)


def default_of(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "**must be given**"
    if field.default_factory is not None and isinstance(value, int | float | str):
        return "from the machine"
    if isinstance(value, Part):
        return f'`use = "{value.use}"`'
    if isinstance(value, BaseModel) or value is None:
        return ""
    if isinstance(value, Mapping):
        value = [key if each is None else f"{key} = {each}" for key, each in value.items()]
    if isinstance(value, frozenset | tuple | list):
        return " ".join(f"`{each}`" for each in (sorted(value) if isinstance(value, frozenset) else value))
    return f"`{str(value).lower() if isinstance(value, bool) else value}`" if value != "" else '`""`'


def section_tables(name: str, kind: type[BaseModel]) -> Iterator[str]:
    """The table of a section, then those of the sections below it."""
    docs = attribute_docs(kind)
    rows, below = "", []
    for key, field in kind.model_fields.items():
        inner = [model for model in sections(field.annotation) if not issubclass(model, Part)]
        if inner and inner[0] is not kind:
            keyed = "Mapping" in str(field.annotation) or "dict" in str(field.annotation)
            below.append((f"{name}.{key}{'.NAME' if keyed else ''}", inner[0]))
        if not inner or key in docs:
            rows += row(f"`{key}`", default_of(field), first_sentence(docs.get(key) or field.description))
    if rows:
        about = first_sentence(kind.__doc__) if kind.__doc__ and kind is not Settings else ""
        yield f"## [{name}]\n\n{about + chr(10) + chr(10) if about else ''}{table('key', 'default', 'what it says')}{rows}"
    for inner_name, inner_kind in below:
        yield from section_tables(inner_name, inner_kind)


def settings_page() -> str:
    head = f"""# Settings

Every section and key of `stack.toml` with its default. {MADE}
A key can also come from the environment: `SIXPLY__SERVING__HTTP__PORT=8700` is `[serving.http] port`. `make config` shows the value in
force and where it came from. With the options of every part, to be copied from: [stack.full.toml](stack.full.toml).
"""
    tables = (
        text
        for layer in LAYERS
        if layer in Settings.model_fields
        for text in section_tables(layer, next(sections(Settings.model_fields[layer].annotation)))
    )
    of_extensions = (
        text
        for name in extensions.installed()
        if (kind := extensions.find(name).settings)
        for text in section_tables(name, extensions.resolve(kind))
    )
    return "\n".join([head, *tables, *of_extensions])


def commands_page() -> str:
    head = f"""# Commands

`make NAME VALUE=...` and `.venv/bin/sixply NAME --value ...` are the same. {MADE}
`.venv/bin/sixply NAME --help` says what each value means.
"""
    groups = (command_table(group, commands) for group, commands in list_commands(()).items())
    of_extensions = (
        command_table(of_extension(name), {command.name: ("", command.about) for command in declared})
        for name in extensions.installed()
        if (declared := extensions.find(name).commands)
    )
    return "\n".join([head, *groups, *of_extensions])


def of_extension(name: str) -> str:
    """The heading of what an extension brings; a project without it is written without what stands below."""
    return f"With the extension {name}"


def command_table(heading: str, commands: Mapping[str, tuple[str, str]]) -> str:
    rows = (
        row(f"`{name}`", about, " ".join(f"`{value}=`" for value in sorted(make.parameters_of(TYPER_COMMANDS[name]))))
        for name, (_, about) in commands.items()
        if name in TYPER_COMMANDS
    )
    return f"## {heading}\n\n{table('command', 'what it does', 'values')}{''.join(rows)}"


def routes_page() -> str:
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(world(Path(folder), extensions=tuple(extensions.installed())).system)
    head = f"""# Routes

Each route of the server, from its OpenAPI description. {MADE}
How to use them: [the API](../api.md). The page stands at `/`, MCP at `/mcp`, this description at `/docs`.
"""
    brings = {
        f"{method} {route.path}": getattr(route.original_route, "endpoint", None).__module__
        for route in iter_route_contexts(app.routes)
        for method in route.methods or ()
    }
    rows: dict[str, list[str]] = {"": []}
    for path, operations in sorted(app.openapi()["paths"].items()):
        for method, operation in operations.items():
            request, about = f"{method.upper()} {path}", first_sentence(operation.get("description"))
            package, _, rest = brings[request].partition(".")
            whose = of_extension(rest.partition(".")[0]) if package == "extensions" else ""
            rows.setdefault(whose, []).append(row(f"`{request}`", about or operation.get("summary", "")))
    tables = [
        f"{f'## {whose}' + chr(10) * 2 if whose else ''}{table('route', 'what it does')}{''.join(found)}"
        for whose, found in sorted(rows.items())
    ]
    return "\n".join([head, *tables])


def error_types(kind: type[SixplyError] = SixplyError) -> Iterator[type[SixplyError]]:
    yield kind
    for child in sorted(kind.__subclasses__(), key=lambda child: child.__name__):
        yield from error_types(child)


def errors_page() -> str:
    tree = inspect.getdoc(errors) or ""
    drawn = re.search(r"^SixplyError\n(?:[│├└ ].*\n)+", tree, re.MULTILINE)
    assert drawn
    head = f"""# Errors

Every error that the system raises on purpose stands in one tree, by who has to act. {MADE}
```text
{drawn[0]}```

`code` is what a client of the API reads; it does not change. *Retryable*: the same request may work later.
"""
    kinds = [kind for kind in error_types() if kind.__module__ == errors.__name__]
    rows = (
        row(f"`{kind.code}`", f"`{kind.__name__}`", str(kind.status), "yes" if kind.retryable else "") for kind in kinds
    )
    return f"{head}\n{table('code', 'class', 'status', 'retryable')}{''.join(rows)}"


class RecordingMeter:
    """Writes down which instruments are made of it, in place of making them."""

    def __init__(self) -> None:
        self.made: dict[str, tuple[str, str]] = {}

    def __getattr__(self, method: str) -> Any:
        kind = method.removeprefix("create_").removeprefix("observable_")

        def create(name: str, *arguments: Any, description: str = "", **_: Any) -> MagicMock:
            self.made[name] = (kind, description or str(arguments[-1]))
            return MagicMock()

        return create


def attributes(module: ModuleType) -> Iterator[tuple[str, str]]:
    """(name, what it says) of the attributes of our own that a module names."""
    body = ast.parse(inspect.getsource(module)).body
    for node, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            value = getattr(module, node.target.id)
            says = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else ""
            if isinstance(value, str) and value.startswith("sixply."):
                yield value, str(says)


def span_names_of(extension: str) -> ModuleType | None:
    """The names that an extension writes on spans; `None`: it has none of its own."""
    found = find_spec(f"extensions.{extension}.span_names")
    return import_module(found.name) if found else None


def telemetry_page() -> str:
    meter = RecordingMeter()
    metrics.DomainMetrics(meter)  # type: ignore[arg-type]  # a double that is told of every instrument
    head = f"""# Metrics and spans

The names of our own. The others are those of OpenTelemetry's conventions for generative AI. {MADE}
At `/metrics` a dot is an underscore, a counter ends in `_total` and a time in `_seconds`.
"""
    instruments = "".join(row(f"`{name}`", kind, says) for name, (kind, says) in meter.made.items())
    spans = "".join(f"`{name}` " for name in sorted({*names.OPERATIONS, names.RERANK, names.ENTAILMENT, names.INGEST}))
    heading = table("attribute", "what it says")
    rows = "".join(row(f"`{name}`", says) for name, says in attributes(names) if name not in meter.made)
    brought = "".join(
        f"\n## With the extension {name}\n\n{heading}"
        + "".join(row(f"`{key}`", says) for key, says in attributes(module))
        for name in extensions.installed()
        if (module := span_names_of(name)) and any(attributes(module))
    )
    return (
        f"{head}\n## Metrics\n\n{table('metric', 'kind', 'what it counts')}{instruments}\n"
        f"## Spans\n\nThe first word of a span's name is one of {spans.strip()}, or the step of an agent.\n\n"
        f"## Attributes\n\n{heading}{rows}{brought}"
    )


def parts_page() -> str:
    found = list(adapters())
    head = f"""# Ports and their adapters

{MADE}
What an adapter is comes from the first sentence of its file, what it can be told from its `Options`; **bold** must be given. The
defaults and their reasons stand there as well.

`use = "name"` chooses one of these, `use = "package.module:attribute"` one from outside of the tree: the `build` of an
adapter, or any class that keeps the contract, called with the options as keywords.
"""
    sections = [
        f"## {port.name}\n\nContract: `{port.contract.__module__}.{port.contract.__qualname__}`. "
        f"Folder: `{port.folder}/`. Its promises: `{port.suite}`.\n\n"
        + table("adapter", "what it is", "needs", "options")
        + "".join(part_row(adapter) for adapter in found if adapter.port == port.name)
        for port in map(Port, CONTRACTS)
    ]
    return "\n".join([head, *sections])


def part_row(adapter: Adapter) -> str:
    options = [f"**`{name}`**" if default is None else f"`{name}`" for name, default in (adapter.options or {}).items()]
    needs = f"`make setup WITH={','.join(adapter.extras)}`" if adapter.extras else ""
    name = f"`{adapter.name}`{' (default)' if adapter.default else ''}"
    return row(name, adapter.what, needs, " ".join(options))


PAGES = {
    "../swap/parts.md": parts_page,
    "settings.md": settings_page,
    "stack.full.toml": full_stack,
    "commands.md": commands_page,
    "routes.md": routes_page,
    "errors.md": errors_page,
    "telemetry.md": telemetry_page,
}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, make_page in PAGES.items():
        (FOLDER / name).write_text(make_page(), encoding="utf-8")


if __name__ == "__main__":
    main()

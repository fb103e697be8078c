"""`sixply parts`: every port with its adapters, read from the code: what each is, its packages, its options."""

import ast
import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from pydantic.fields import FieldInfo

from extensions.development.ports import CONTRACTS, Port
from foundation.components import extra_of, find_modules
from serving.cli import terminal
from serving.cli.options import Json
from serving.settings import Settings

OURS = ("foundation", "models", "retrieval", "orchestration", "observability", "serving", "extensions")


@dataclass(frozen=True)
class Adapter:
    """One file of a port's folder, or of an extension that brings it."""

    port: str
    name: str
    what: str
    extras: tuple[str, ...]
    """Extras that `make setup WITH=...` must install for it."""
    options: Mapping[str, str | None] | None
    """Option -> default as text, `None` where required. `None` for all where its package is not installed."""
    default: bool


def adapters() -> Iterator[Adapter]:
    """Yield all adapters, port by port."""
    for port in map(Port, CONTRACTS):
        chosen = {part.use for part in port.configured_parts(Settings())}
        for name, module in sorted(find_modules(port.name).items()):
            text = " ".join((ast.get_docstring(_parse_file(module)) or "").partition("\n\n")[0].split())
            head, stop, _ = text.partition(". ")
            what = head + stop.rstrip()
            yield Adapter(port.name, name, what, _extras(module), _options(module), name in chosen)


def parts(json: Json = None) -> None:
    """List ports and adapters with their requirements and options."""
    rows_of_parts = list(adapters())
    if not terminal.write_json(json, {"adapters": [asdict(adapter) for adapter in rows_of_parts]}):
        rows = [(it.port, f"{it.name}{' *' * it.default}", it.what, ", ".join(it.extras)) for it in rows_of_parts]
        terminal.show_table(["port", "adapter", "what it is", "make setup WITH="], rows)
        terminal.show("[dim]* is the default. Options: make parts JSON=-[/]")


def _options(module: str) -> dict[str, str | None] | None:
    try:
        options = getattr(importlib.import_module(module), "Options", None)
    except ModuleNotFoundError:
        return None
    fields: Mapping[str, FieldInfo] = options.model_fields if options else {}
    return {name: None if field.is_required() else str(field.get_default()) for name, field in fields.items()}


@cache
def _extras(module: str) -> tuple[str, ...]:
    """Return the extras behind the imports of the file and of our files that it imports, within functions too."""
    extras: set[str] = set()
    open_, seen = [module], {module}
    package, _, rest = module.partition(".")
    extension = rest.partition(".")[0] if package == "extensions" else ""
    while open_:
        for name in _imports(open_.pop()):
            if name.partition(".")[0] not in OURS:
                extra = extra_of(name.partition(".")[0], extension) or extra_of(name, extension)
                extras |= {extra} if extra else set()
            elif name not in seen:
                seen.add(name)
                open_.append(name)
    return tuple(sorted(extras))


def _imports(module: str) -> Iterator[str]:
    for node in ast.walk(_parse_file(module)):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@cache
def _parse_file(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))

"""What a project was made with: its name and its extensions. Its pyproject.toml keeps them, with the commit of the template."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ALWAYS = "development"
"""What every project has: by it extensions are brought later, and the template's changes merged."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    name: str
    """As in pyproject.toml and on the command line: `acme-desk`."""
    extensions: tuple[str, ...] = ()

    @property
    def package(self) -> str:
        """The folder of what is the owner's alone: `acme_desk`."""
        return self.name.replace("-", "_")

    @property
    def title(self) -> str:
        return self.name.replace("-", " ").title()


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What an extension of a tree declares, read without importing it: the tree may be another version of ours."""

    name: str
    requires: tuple[str, ...] = ()
    extra: str = ""
    parts: tuple[tuple[str, str], ...] = ()


def read_extensions(tree: Path) -> dict[str, Declared]:
    """All extensions of a tree, by name."""
    return {file.parent.name: _read(file) for file in sorted(tree.glob("extensions/*/__init__.py"))}


def _read(file: Path) -> Declared:
    calls = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    said = {
        word.arg: ast.literal_eval(word.value)
        for call in calls
        if getattr(call.func, "id", "") == "Extension"
        for word in call.keywords
        if word.arg in {"requires", "extra", "parts"}
    }
    return Declared(name=file.parent.name, **said)


def with_required(names: Iterable[str], declared: dict[str, Declared]) -> list[str]:
    """Those of the names that there are, with all that they require and what every project has, sorted."""
    found, waiting = set[str](), [name for name in (ALWAYS, *names) if name in declared]
    while waiting:
        if (name := waiting.pop()) not in found:
            found.add(name)
            waiting += declared[name].requires
    return sorted(found)

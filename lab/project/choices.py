"""What a project was made with: its name, the optional parts left out, the commit of the template. Kept in its pyproject.toml."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ALWAYS_OUT = ("example", "lab")
"""Parts of the template that no project of one's own has."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    name: str
    """As in pyproject.toml and on the command line: `acme-desk`."""
    without: tuple[str, ...]
    """Parts that are left out: `page`, `ray`, `strengthen`, `vectors/qdrant`, `jobs`."""
    only: str | None = None
    """A preset of presets.toml, and `keep` what is kept beside what it keeps."""
    keep: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, words: Sequence[str]) -> Choices:
        """The choices that these `words` say."""
        only = next((word[1:] for word in words if word.startswith("=")), None)
        keep = tuple(word[1:] for word in words if word.startswith("+"))
        return cls(name=name, without=tuple(word for word in words if word[0] not in "=+"), only=only, keep=keep)

    @property
    def words(self) -> list[str]:
        """All but the name, as a command line says it: `page` is left out, `+page` kept, `=small` the preset."""
        return [*self.without, *(f"+{part}" for part in self.keep), *([f"={self.only}"] if self.only else [])]

    @property
    def package(self) -> str:
        """The folder of what is the owner's alone: `acme_desk`."""
        return self.name.replace("-", "_")

    @property
    def title(self) -> str:
        return self.name.replace("-", " ").title()


def read_optional(tree: Path) -> dict[str, dict[str, Any]]:
    """The optional parts of a tree, as optional.toml says them, and its extensions."""
    listed: dict[str, dict[str, Any]] = tomllib.loads((tree / "optional.toml").read_text(encoding="utf-8"))
    return listed | {file.parent.name: _section_of(file) for file in sorted(tree.glob("extensions/*/__init__.py"))}


def _section_of(file: Path) -> dict[str, Any]:
    """What goes with an extension, from its folder and from what it declares."""
    calls = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    needs = [ast.literal_eval(each.value) for call in calls for each in call.keywords if each.arg == "requires"]
    name = file.parent.name
    return {
        "paths": [f"extensions/{name}"],
        "docs": [f"docs/extensions/{name}.md", *_pictures_of(file.parents[2] / f"docs/extensions/{name}.md")],
        "tests": [f"tests/extensions/{name}"],
        "needs": [other for requires in needs for other in requires],
    }


def read_presets(tree: Path) -> dict[str, dict[str, Any]]:
    """Preset -> what it keeps, as presets.toml says it."""
    return tomllib.loads((tree / "presets.toml").read_text(encoding="utf-8"))


def _pictures_of(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    return [f"docs/{picture}" for picture in re.findall(r'(?:\]\(|src=")\.\./(pictures/[^)"]+)', text)]

"""What a project was made with: its name, the optional parts left out, the commit of the template. Kept in its pyproject.toml."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.errors import InvalidRequest, did_you_mean

ALWAYS_OUT = ("example", "lab", "new")
"""Parts of the template that no project of one's own has."""
PRESETS = ("small",)
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class Choices:
    name: str
    """As in pyproject.toml and on the command line: `acme-desk`."""
    without: tuple[str, ...]
    """Sections of optional.toml that are left out."""

    @property
    def package(self) -> str:
        """The folder of what is the owner's alone: `acme_desk`."""
        return self.name.replace("-", "_")

    @property
    def title(self) -> str:
        return self.name.replace("-", " ").title()


def read_optional(tree: Path) -> dict[str, dict[str, Any]]:
    """The optional parts of a tree, as optional.toml says them."""
    return tomllib.loads((tree / "optional.toml").read_text(encoding="utf-8"))


def check_name(name: str) -> str:
    """The name, if it can be that of a project, and its folder can be imported beside everything else.

    Raises:
        InvalidRequest: it cannot.
    """
    if not NAME.fullmatch(name):
        raise InvalidRequest(
            f'"{name}" is no name of a project. Use lower-case letters, digits and single hyphens, beginning with a letter: acme-desk.'
        )
    package = name.replace("-", "_")
    if package in sys.stdlib_module_names or importlib.util.find_spec(package) is not None:
        raise InvalidRequest(
            f'The project\'s folder would be "{package}", and Python has a module of that name already. Choose another name: {name}-desk.'
        )
    return name


def check_without(
    without: Sequence[str], optional: Mapping[str, Mapping[str, Any]], only: str | None = None
) -> tuple[str, ...]:
    """All parts to be left out, sorted.

    Raises:
        InvalidRequest: there is no such part or preset, or a part that stays needs one that goes.
    """
    if only is not None and only not in PRESETS:
        raise InvalidRequest(f'There is no preset "{only}". {did_you_mean(only, PRESETS)}')
    choosable = [name for name in optional if name not in ALWAYS_OUT]
    for name in without:
        if name not in optional:
            raise InvalidRequest(f'optional.toml has no part "{name}" to leave out. {did_you_mean(name, choosable)}')
    out = {*without, *ALWAYS_OUT, *(choosable if only else ())} & set(optional)
    for name, part in optional.items():
        if name not in out and (missing := sorted(set(part.get("needs", [])) & out)):
            raise InvalidRequest(
                f'"{name}" needs {", ".join(missing)}. Leave out {name} as well, or keep {missing[0]}.'
            )
    return tuple(sorted(out))

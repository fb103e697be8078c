"""Prompts are Markdown files beside this one, with a name, a version and the models that they were measured on at the top.

---
name: tool_calling
version: 1
measured_on: none yet
---
You answer ...
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from foundation.errors import InvalidSetting, did_you_mean

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Prompt:
    name: str
    version: str
    text: str

    @property
    def label(self) -> str:
        """Name, version and digest, for spans and reports: `tool_calling@1 3f2a9c1b`."""
        return f"{self.name}@{self.version} {hashlib.sha256(self.text.encode()).hexdigest()[:8]}"


@cache
def read_prompt(name: str, folder: Path = FOLDER) -> Prompt:
    """The prompt in `folder/name.md`.

    Raises:
        InvalidSetting: there is no such file, or its head does not name it and its version.
    """
    path = folder / f"{name}.md"
    if not path.is_file():
        known = [other.stem for other in folder.glob("*.md")]
        raise InvalidSetting(f'There is no prompt "{name}" in {folder}. {did_you_mean(name, known)}')
    _, _, rest = path.read_text(encoding="utf-8").partition("---\n")
    head, mark, text = rest.partition("\n---\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
    if not mark or fields.get("name") != name or "version" not in fields:
        raise InvalidSetting(
            f"{path.name} must begin with ---, name: {name}, version: ..., and ---. Found: {head[:80]!r}"
        )
    return Prompt(name, fields["version"], text.strip())

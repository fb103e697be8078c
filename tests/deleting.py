"""Deletes an optional part as a person would: `python -m tests.deleting page`; without a name it lists them for the weekly build."""

from __future__ import annotations

import json
import shutil
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ALL = "all"
OPTIONAL: dict[str, dict[str, list[str]]] = tomllib.loads((ROOT / "optional.toml").read_text(encoding="utf-8"))
EXAMPLE = OPTIONAL["example"]["paths"][0] if "example" in OPTIONAL else "examples"
TOOLS = f'[[orchestration.tools]]\nuse = "{EXAMPLE.replace("/", ".")}.tools:build"\n\n'


def goes(name: str) -> list[str]:
    """The paths that go: the lab first, then what needs the part, then the part itself."""
    needing = [other for other, part in OPTIONAL.items() if name in part.get("needs", [])]
    sections = OPTIONAL if name == ALL else [*(["lab"] if "lab" in OPTIONAL else []), *needing, name]
    return list(
        dict.fromkeys(
            path for section in sections for path in [*OPTIONAL[section]["paths"], *OPTIONAL[section]["tests"]]
        )
    )


def main() -> None:
    """Delete, or list."""
    if len(sys.argv) == 1:
        sys.stdout.write(f"names={json.dumps([*OPTIONAL, ALL])}\n")
        return
    for path in map(ROOT.joinpath, goes(sys.argv[1])):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    stack = ROOT / "stack.toml"
    if not (ROOT / EXAMPLE).exists():
        stack.write_text(stack.read_text(encoding="utf-8").replace(TOOLS, ""), encoding="utf-8")


if __name__ == "__main__":
    main()

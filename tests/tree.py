"""A copy of this tree for a test that writes into it: what git ignores stays behind, and is large where somebody works."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UNFINISHED = shutil.ignore_patterns("*.pyc.*")
"""What another process is still writing. Finished bytecode comes along, so that the copy is not compiled anew."""


def copy_of_tree(folder: Path) -> None:
    """Copy it to the new `folder`, without its history."""
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()]
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git", *ignored))

"""The rules of the Makefile, and of the lab where it has not been deleted."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAB = ROOT / "lab" / "lab.mk"
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "Makefile", LAB) if path.exists())
RULES: dict[str, str] = dict(re.findall(r"^([a-z][a-z-]*):(.*\n(?:\t.*\n)*)", TEXT, re.MULTILINE))
"""The text of each rule, by its target."""

"""Which optional parts the projects of the weekly build go without: `python3 -m lab.project.pairs` prints a row for each of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from itertools import permutations
from pathlib import Path
from random import Random

from lab.project.choices import ALWAYS_OUT, read_optional

Row = frozenset[str]
DRAWN = 2000
"""Rows of which the best is taken. With more there are no fewer rows."""


def cover_pairs(needs: Mapping[str, Iterable[str]]) -> list[Row]:
    """Rows of what is left out, so that each two parts are seen together: none, both, and each without the other. A part that `needs` another
    goes with that.
    """
    rows, draw = [Row(), Row(needs)], Random(7)
    waiting = {(gone, left) for gone, left in permutations(needs, 2) if left not in leave_out([gone], needs)}
    while waiting:
        drawn = [leave_out([name for name in needs if draw.random() < 0.5], needs) for _ in range(DRAWN)]
        rows.append(max(drawn, key=lambda row: sum(gone in row and left not in row for gone, left in waiting)))
        waiting = {(gone, left) for gone, left in waiting if gone not in rows[-1] or left in rows[-1]}
    return rows


def leave_out(names: Iterable[str], needs: Mapping[str, Iterable[str]]) -> Row:
    """These parts, and those that need one of them."""
    row = {*names}
    while more := {name for name, needed in needs.items() if name not in row and row.intersection(needed)}:
        row |= more
    return Row(row)


def read_needs(tree: Path) -> dict[str, list[str]]:
    """The parts that a project can be left without -> what they need."""
    optional = read_optional(tree)
    return {name: optional[name].get("needs", []) for name in sorted(optional.keys() - {*ALWAYS_OUT})}


if __name__ == "__main__":
    ROWS = cover_pairs(read_needs(Path(__file__).resolve().parents[2]))
    sys.stdout.write(f"rows={json.dumps([','.join(sorted(row)) for row in ROWS])}\n")

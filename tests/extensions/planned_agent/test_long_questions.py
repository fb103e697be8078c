"""A question of thousands of blanks or digits is read in one pass. An expression that tries again from each of its
characters would hold the whole server, because nothing else runs while it does.
"""

from __future__ import annotations

import subprocess
import sys

from extensions.planned_agent.intent import classify_clauses
from tests.architecture.worst_texts import COMMON, GROWTH, growth

READ = """
from extensions.planned_agent.compose import _MARKER
from extensions.planned_agent.planners.classifier import _BREAK
from extensions.planned_agent.stated_arguments import _AMOUNT

for expression in (_MARKER, _BREAK, _AMOUNT):
    for filler in (" ", "\\n", "7", "7-"):
        expression.findall("Where is " + filler * 200_000 + "?")
"""


def test_long_runs_of_the_same_character_are_read_in_one_pass() -> None:
    """In a process of its own, because an expression cannot be stopped: one pass takes milliseconds, the others hours."""
    subprocess.run([sys.executable, "-c", READ], check=True, timeout=300)


def test_clauses_of_a_text_four_times_as_long_take_four_times_as_long() -> None:
    units = (*COMMON, "百", "not ", "and ")
    assert not {unit: grown for unit in units if (grown := growth(classify_clauses, "", unit, "!")) > GROWTH}

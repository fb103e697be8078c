"""The house is counted from the tree itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lab.house import AIMS, count_house, count_running

FILE = '''"""A module."""

# Why it is so.
def told():
    one = 1
    for _ in range(one):
        pass
    return one


def parse_text():
    return 2
'''


def test_lines_rooms_names_and_comments_are_counted(tmp_path: Path):
    (tmp_path / "models" / "chat").mkdir(parents=True)
    (tmp_path / "models" / "__init__.py").write_text("")
    (tmp_path / "models" / "contract.py").write_text(FILE)
    (tmp_path / "models" / "chat" / "acme.py").write_text("X = 1\n")
    (tmp_path / "Makefile").write_text("help:\n\t@echo '  make demo  what it does'\n")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "-C", tmp_path, "add", "."], check=True)

    house = count_house(tmp_path)

    assert house.lines["models"] == FILE.count("\n") + 1
    assert house.rooms == {"models": 1, "models/chat": 1}
    assert (house.participles, house.fillers, house.comments, house.targets) == (1, 1, 1, 1)
    assert house.roles == {"run": FILE.count("\n") + 1, "prove": 0}
    assert max(house.functions) == (5, "models/contract.py:told")


@pytest.mark.real_model
def test_what_a_default_deployment_runs_is_a_part_of_the_layers():
    running = count_running()
    assert 100 < running["files"] < sum(count_house().rooms.values())
    assert running["lines"] > 10_000


def test_every_figure_of_this_tree_has_an_aim():
    assert count_house().figures().keys() == AIMS.keys()

"""Mutations are drawn from the code by a seed, and shown to the tests that are nearest."""

from __future__ import annotations

import ast
from pathlib import Path

from lab.mutate import apply_mutation, choose_tests, draw_mutations, find_mutations, find_nearest_tests, try_mutation

SOURCE = '''"""A module."""

LIMIT: int = 3


def is_small(number: int) -> bool:
    """Whether it is."""
    if number < 0:
        raise ValueError("Größer, please.")
    return number <= LIMIT
'''
TEST = """
import pytest
from models.sizes import is_small

def test_small():
    assert is_small(3) and not is_small(4)
"""


def small_tree(folder: Path) -> Path:
    for name, text in {"models/sizes.py": SOURCE, "models/build.py": "from models.sizes import is_small\n",
                       "tests/unit/test_sizes.py": TEST, "tests/integration/test_build.py": "import models.build\n"}.items():  # fmt: skip
        folder.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        folder.joinpath(name).write_text(text, encoding="utf-8")
    options = '[tool.pytest.ini_options]\npythonpath = ["."]\naddopts = ["--import-mode=importlib"]\n'
    folder.joinpath("pyproject.toml").write_text(options)
    return folder


def test_every_mutation_is_code_and_changes_one_place(tmp_path: Path):
    root = small_tree(tmp_path)

    changed = {}
    for mutation in find_mutations(root):
        before = apply_mutation(root, mutation)
        changed[mutation.old, mutation.new] = root.joinpath(mutation.file).read_text(encoding="utf-8")
        root.joinpath(mutation.file).write_bytes(before)

    assert changed.keys() == {
        ("3", "(4)"), ("number < 0", "(number <= 0)"), ("0", "(1)"), ('raise ValueError("Größer, please.")', "pass"),
        ("return number <= LIMIT", "return None"), ("number <= LIMIT", "(number < LIMIT)"),
    }  # fmt: skip
    assert all(ast.parse(text) and text != SOURCE for text in changed.values())


def test_the_draw_is_that_of_its_seed_and_a_shorter_one_is_its_beginning():
    root = Path(__file__).parents[2]

    drawn = draw_mutations(root, 300, 7)

    assert len(set(drawn)) == 300
    assert draw_mutations(root, 60, 7) == drawn[:60]
    assert draw_mutations(root, 60, 8) != drawn[:60]


def test_tests_that_import_a_file_come_before_those_that_reach_it_over_another(tmp_path: Path):
    nearest = find_nearest_tests(small_tree(tmp_path))

    assert nearest["models/sizes.py"] == ["tests/unit/test_sizes.py", "tests/integration/test_build.py"]
    assert nearest["models/build.py"] == ["tests/integration/test_build.py"]


def test_the_suite_of_an_adapters_port_and_tests_named_after_the_file_come_first():
    nearest = {
        "models/chat/acme.py": ["tests/unit/test_a.py", "tests/unit/test_b.py"],
        "models/sizes.py": ["tests/unit/test_acme_calls.py"],
    }

    assert choose_tests("models/chat/acme.py", nearest) == [
        "tests/contracts/test_chat.py",
        "tests/unit/test_acme_calls.py",
        "tests/unit/test_a.py",
        "tests/unit/test_b.py",
    ]


def test_a_mutation_that_a_test_looks_at_is_caught_and_another_is_not(tmp_path: Path):
    root = small_tree(tmp_path)
    found = {mutation.new: mutation for mutation in find_mutations(root)}

    caught = try_mutation(root, found["(number < LIMIT)"], ["tests/unit/test_sizes.py"])
    missed = try_mutation(root, found["(number <= 0)"], ["tests/unit/test_sizes.py"])

    assert (caught.verdict, missed.verdict) == ("caught", "not caught")
    assert root.joinpath("models/sizes.py").read_text(encoding="utf-8") == SOURCE

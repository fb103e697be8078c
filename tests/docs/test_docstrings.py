"""The examples in docstrings give what they say."""

import ast
import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ("foundation", "models", "retrieval", "orchestration", "serving", "observability", "extensions", "examples")
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for layer in LAYERS
    for path in sorted((ROOT / layer).rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_give_what_they_say(module: str, capsys: pytest.CaptureFixture) -> None:
    told = doctest.testmod(importlib.import_module(module))
    assert told.failed == 0, capsys.readouterr().out
    assert told.attempted > 0


FILES = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
OTHERS = [
    path
    for folder in ("lab", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.name != "__init__.py" and "start" not in path.parts
]
CONFIGURATION = [
    path
    for folder in (".", ".github/workflows", "lab", *LAYERS, "tests")
    for ending in ("*.toml", "*.yml", "*.yaml", "*.mk", "*.sql", "*.env", "Makefile")
    for path in sorted((ROOT / folder).glob(ending) if folder == "." else (ROOT / folder).rglob(ending))
]


def test_every_file_and_every_room_begins_with_a_sentence_that_says_what_it_is_for() -> None:
    first = {
        str(path.relative_to(ROOT)): (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")
        for path in [*FILES, *OTHERS]
    }
    assert [path for path, text in first.items() if not re.match(r"[^a-z\s].*?[.?!:)\]`](\s|$)", text, re.DOTALL)] == []


def test_every_file_of_configuration_begins_with_a_comment_that_says_what_it_is_for() -> None:
    first = {path: path.read_text(encoding="utf-8").lstrip().partition("\n")[0] for path in CONFIGURATION}
    assert [str(path.relative_to(ROOT)) for path, line in first.items() if not re.match(r"(#|--) \w*\W*\w", line)] == []


def test_no_file_of_the_product_sends_its_reader_to_the_lab_s_notes() -> None:
    assert [path for path in FILES if "lab/notes" in path.read_text(encoding="utf-8")] == []

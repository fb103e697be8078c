"""The examples in docstrings give what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ("foundation", "models", "retrieval", "orchestration", "serving", "observability", "examples")
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

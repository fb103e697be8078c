"""Extensions are independent of each other but for what their `requires` names, and each stands where everybody looks for it."""

from __future__ import annotations

import ast
from pathlib import Path

from foundation import extensions
from serving.hooks import Hooks

ROOT = Path(__file__).resolve().parents[2]
MOST_HOOKS = 15
NO_HOOKS = {"settings", "assembly", "services"}
"""What `Hooks` has beside the hooks."""
NAMES = extensions.installed()
IN_EVERY_PROJECT = {"development"}
"""It has the doubles of models that tests of the layers run on."""
PAGES = (ROOT / "docs" / "extensions" / "index.md").is_file()


def imported(file: Path) -> set[str]:
    """The extensions that a file imports, wherever it does."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    names = [
        f"{node.module}.{alias.name}"
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    ]
    names += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return {name.split(".")[1] for name in names if name.startswith("extensions.")}


def test_none_imports_another_but_those_that_it_requires() -> None:
    for name in NAMES:
        files = (ROOT / "extensions" / name).rglob("*.py")
        others = {other for file in files for other in imported(file)} - {name}
        assert others <= set(extensions.find(name).requires), name


def test_each_has_its_tests_and_its_page() -> None:
    for name in NAMES:
        assert list((ROOT / "tests" / "extensions" / name).rglob("test_*.py")), name
        assert (ROOT / "docs" / "extensions" / f"{name}.md").is_file() or not PAGES, name


def test_nothing_of_the_core_names_one() -> None:
    """Not in a text either: the core would know who is there."""
    layers = ("foundation", "models", "retrieval", "orchestration", "observability", "serving")
    named = [
        f"{file.relative_to(ROOT)}: extensions.{name}"
        for layer in layers
        for file in (ROOT / layer).rglob("*.py")
        for name in NAMES
        if f"extensions.{name}" in file.read_text(encoding="utf-8")
        or f"extensions/{name}" in file.read_text(encoding="utf-8")
    ]
    assert named == []


def test_there_are_fifteen_hooks_at_most() -> None:
    assert len(Hooks.__dataclass_fields__.keys() - NO_HOOKS) <= MOST_HOOKS


def test_a_test_that_needs_one_stands_beside_it() -> None:
    """Else a project without it would have a test that cannot be run."""
    folders = [ROOT / "tests" / name for name in ("contracts", "faults", "integration", "unit")]
    files = [file for folder in folders for file in folder.rglob("*.py")]
    assert [str(file.relative_to(ROOT)) for file in files if imported(file) - IN_EVERY_PROJECT] == []

"""What an assistant must leave alone: tests are not deleted or weakened, contracts and guards not edited, for a task to count."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from fnmatch import fnmatch
from pathlib import Path

from extensions.development.update import git

PROTECTED = (
    "*/contract.py", "tests/contracts/*", "tests/architecture/*", "tests/doubles/*", "*conftest.py", "pyproject.toml", "lab/*",
    "tests/lab/*", "extensions/development/*", "examples/support_desk/*.json*", "Makefile", ".github/*",
)  # fmt: skip
"""Files that decide about others' work. A task may name some of them as its own."""
GIVING_UP = ("skip", "skipif", "xfail", "importorskip")
"""What an assistant may not add to a test: with it, the test passes without its promise being kept."""


def wrongs(folder: Path, base: str, may_change: Collection[str]) -> Iterator[str]:
    """What was done to the guards between the commit `base` and what is staged in `folder`, each by its file."""
    for line in git(folder, "diff", "--cached", "--no-renames", "--name-status", base).splitlines():
        status, _, name = line.partition("\t")
        if status != "A" and not _is_any(name, may_change) and _is_any(name, PROTECTED):
            yield f"{name} decides about the work and was {'deleted' if status == 'D' else 'edited'}"
        elif name.startswith("tests/") and status == "D" and not _is_any(name, may_change):
            yield f"{name} was deleted"
        elif name.startswith("tests/") and name.endswith(".py") and status == "M":
            yield from _find_weakening(name, git(folder, "show", f"{base}:{name}"), git(folder, "show", f":{name}"))


def _is_any(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _find_weakening(name: str, before: str, after: str) -> Iterator[str]:
    try:
        now = _tests(after)
    except SyntaxError:
        yield f"{name} is no Python any more"
        return
    for test, (asserts, gives_up) in _tests(before).items():
        if test not in now:
            yield f"{name}: {test} is gone"
        elif now[test][0] < asserts:
            yield f"{name}: {test} asserts {now[test][0]} things instead of {asserts}"
        elif now[test][1] > gives_up:
            yield f"{name}: {test} is skipped or expected to fail"


def _tests(text: str) -> dict[str, tuple[int, int]]:
    """Each test with how much it asserts, and in how many places it gives up; a mark of the whole file counts for all."""
    tree = ast.parse(text)
    whole = sum(
        _gives_up(node)
        for node in tree.body
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    )
    return {
        node.name: (sum(map(_asserts, ast.walk(node))), whole + _gives_up(node))
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")
    }


def _asserts(node: ast.AST) -> bool:
    vacuous = isinstance(node, ast.Assert) and isinstance(node.test, ast.Constant)
    return (isinstance(node, ast.Assert) and not vacuous) or (isinstance(node, ast.Attribute) and node.attr == "raises")


def _gives_up(node: ast.AST) -> int:
    return sum(isinstance(part, ast.Attribute) and part.attr in GIVING_UP for part in ast.walk(node))

"""What only the files that are gone named goes with them: functions, classes and constants of the files that stay."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

LAYERS = ("foundation", "models", "retrieval", "orchestration", "serving", "observability")
# a decorator such as a route or a command registers what it decorates; these do not
PLAIN = ("cache", "contextmanager", "asynccontextmanager", "dataclass", "runtime_checkable")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign


def drop_unnamed(folder: Path, gone: Collection[Path]) -> None:
    """Drop what nothing in the project names any more, and the imports that it needed. Without ruff nothing is dropped."""
    if importlib.util.find_spec("ruff") is None:
        return
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in folder.rglob("*.py")}
    named_by_gone = set[str]().union(*(_names_in(ast.parse(path.read_text(encoding="utf-8"))) for path in gone))
    named = Counter[str]()
    for tree in trees.values():
        named += _names_in(tree)
    for path in (*folder.glob("*.toml"), *folder.rglob("*.html")):
        named.update(re.findall(r"[A-Za-z_]\w*", path.read_text(encoding="utf-8")))
    changed: set[Path] = set()
    while dropped := [
        (path, node, name)
        for path, tree in trees.items()
        if path.relative_to(folder).parts[0] in LAYERS and path.name != "errors.py"  # a whole tree, drawn in a picture
        for node, name in _definitions_of(tree)
        if name in named_by_gone and named[name] <= _names_in(node)[name]
    ]:
        for path, node, _ in dropped:
            named -= _names_in(node)
            named_by_gone |= _names_in(node).keys()  # what it alone needed goes with it
            trees[path].body.remove(node)
            _cut(path, node)
            trees[path] = ast.parse(path.read_text(encoding="utf-8"))
            changed.add(path)
            break  # the lines of the others have moved
    if changed:
        files = sorted(map(str, changed))
        for command in (["check", "--quiet", "--fix", "--select=F401,TC005,I001"], ["format", "--quiet"]):
            subprocess.run([sys.executable, "-m", "ruff", *command, "--no-cache", *files], cwd=folder, check=True)


def _names_in(tree: ast.AST) -> Counter[str]:
    """What code names: variables, attributes, and words of texts that may be names."""
    names = Counter[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
            names[node.id] += 1
        elif isinstance(node, ast.Attribute):
            names[node.attr] += 1
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value.strip():
            names.update(re.findall(r"[A-Za-z_]\w*", node.value))
    return names


def _definitions_of(tree: ast.Module) -> Iterator[tuple[Definition, str]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if all(re.match(rf"(?:\w+\.)?(?:{'|'.join(PLAIN)})\b", ast.unparse(it)) for it in node.decorator_list):
                yield node, node.name
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            yield node, node.targets[0].id


def _cut(path: Path, node: Definition) -> None:
    """Take the lines of a definition out, with the comment above it."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    first = min([node.lineno, *(it.lineno for it in getattr(node, "decorator_list", ()))]) - 1
    while lines[first - 1].startswith("#"):
        first -= 1
    end = node.end_lineno or first
    # the text below a constant says what it is
    while isinstance(node, ast.Assign) and end < len(lines) and lines[end].startswith('"""'):
        end += 1
    path.write_text("".join(lines[:first] + lines[end:]), encoding="utf-8")

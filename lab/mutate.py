"""`make mutate`: small faults, put into the six layers one at a time, and whether the tests that are nearest notice.

Each is tried in a copy of the committed tree. A mutation that nobody notices is a line that no near test looks at, or one that means
the same (a limit of 100 or 101): a person has to read the list.
"""

from __future__ import annotations

import ast
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from extensions.development.ports import CONTRACTS, Port
from foundation.types import LAYERS
from lab.project.git import unpack
from observability.evaluation.metrics import share_interval
from serving.cli import terminal

ROOT = Path(__file__).resolve().parents[1]
LENT = (".venv", "weights")
OPPOSITES: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.Break: ast.Continue, ast.Continue: ast.Break,
}  # fmt: skip
TEST_S = 120
"""Seconds for a test: one that a mutation lets wait forever has noticed it."""
FILES = 5
"""Files of tests that a mutation is shown to, the nearest first."""
USED = re.compile(r'use = "([a-z_]+)"')
ADAPTERS = [Port(name).folder.as_posix() for name in CONTRACTS]
LIGHT = ("unit", "contracts", "faults", "integration")


@dataclass(frozen=True, order=True)
class Mutation:
    """A place of the source, and the text that is put there."""

    file: str
    line: int
    start: int
    end: int
    """Bytes of the file."""
    old: str
    new: str


@dataclass(frozen=True)
class Trial:
    """A mutation, and what the tests said: "caught", "not caught", or "not tried" where they fail without it."""

    mutation: Mutation
    verdict: str
    by: str
    """The files of tests."""


def find_mutations(root: Path) -> list[Mutation]:
    """Return every mutation of the six layers that we know to make, in the order of the files."""
    files = sorted(file for layer in LAYERS for file in (root / layer).rglob("*.py"))
    return [
        each for file in files for each in sorted(_mutations_of(file.relative_to(root).as_posix(), file.read_bytes()))
    ]


def draw_mutations(root: Path, count: int, seed: int) -> list[Mutation]:
    """Draw some; the first 60 of 300 are those of a draw of 60."""
    places = find_mutations(root)
    random.Random(seed).shuffle(places)
    return places[:count]


def apply_mutation(root: Path, mutation: Mutation) -> bytes:
    """Write it into its file; return what stood there."""
    file = root / mutation.file
    before = file.read_bytes()
    file.write_bytes(before[: mutation.start] + mutation.new.encode() + before[mutation.end :])
    return before


def find_nearest_tests(root: Path) -> dict[str, list[str]]:
    """Return for each file of the layers the files of tests that import it, those first that reach it over the fewest others."""
    sources = {
        file.relative_to(root).as_posix() for folder in (*LAYERS, "tests") for file in (root / folder).rglob("*.py")
    }
    imports = {source: {*_list_imports(root, source)} & sources for source in sources}
    near: dict[str, list[str]] = {source: [] for source in sources}
    tests = sorted((test for test in sources if Path(test).name.startswith("test_")), key=_by_weight)
    reached = {test: {test} for test in tests}
    edge = dict(reached)
    while any(edge.values()):
        edge = {test: {file for source in edge[test] for file in imports[source]} - reached[test] for test in tests}
        for test, files in edge.items():
            reached[test] |= files
            for file in files:
                near[file].append(test)
    return {source: tests for source, tests in near.items() if not source.startswith("tests/")}


def try_mutation(root: Path, mutation: Mutation, tests: list[str]) -> Trial:
    """Let the tests look at it; what fails has to pass again once it is taken back."""
    before = apply_mutation(root, mutation)
    try:
        noticed = not _pass(root, tests)
    finally:
        (root / mutation.file).write_bytes(before)
    verdict = "not caught" if not noticed else "caught" if _pass(root, ["--last-failed", *tests]) else "not tried"
    return Trial(mutation, verdict, " ".join(tests))


def run(*, count: int, limit: int, seed: int, json: Path | None) -> None:
    """Draw, try, report."""
    drawn = draw_mutations(ROOT, count, seed)[:limit]
    with tempfile.TemporaryDirectory() as folder, terminal.progress() as tell:
        tree = Path(folder, "tree")
        unpack(ROOT, "HEAD", tree)
        for name in LENT:
            (tree / name).symlink_to(ROOT / name)
        nearest = find_nearest_tests(tree)
        trials = []
        for number, mutation in enumerate(drawn):
            tell("mutations", number, len(drawn))
            trials.append(try_mutation(tree, mutation, choose_tests(mutation.file, nearest)))
    _report(trials, json)


def _report(trials: list[Trial], json: Path | None) -> None:
    verdicts = Counter(trial.verdict for trial in trials)
    tried = verdicts["caught"] + verdicts["not caught"]
    low, high = share_interval(verdicts["caught"] / tried, tried) if tried else (0.0, 1.0)
    figures = {"tried": tried, "caught": verdicts["caught"], "at_least": low, "at_most": high}
    if terminal.write_json(json, figures | {"trials": [asdict(trial) for trial in trials]}):
        return
    missed = [trial.mutation for trial in trials if trial.verdict == "not caught"]
    terminal.show_table(["not caught", "was", "became"], [(f"{m.file}:{m.line}", m.old, m.new) for m in missed])
    terminal.show_table(["what", ""], [(name, f"{value:.3g}") for name, value in figures.items()])


def choose_tests(file: str, nearest: Mapping[str, list[str]]) -> list[str]:
    """The contract suite of an adapter's port, the tests that are named after the file, and those that reach it over the fewest others."""
    suites = [str(Port(name).suite) for name in CONTRACTS if Path(file).parent == Port(name).folder]
    named = sorted({test for tests in nearest.values() for test in tests if Path(file).stem in Path(test).stem})
    return list(dict.fromkeys([*suites, *named, *nearest[file]]))[:FILES]


def _pass(root: Path, arguments: list[str]) -> bool:
    shutil.rmtree(root / ".hypothesis", ignore_errors=True)
    command = [
        sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=no", f"--timeout={TEST_S}",
        "--randomly-dont-reorganize", "--randomly-seed=1", "-m", "not slow", *arguments,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=root, env=_environment(), capture_output=True, check=False)
    return done.returncode in {0, 5}  # 5: none of them is about what is here


def _environment() -> Mapping[str, str]:
    """Without bytecode: that of a file which changes twice in a second would be taken for new."""
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}


def _by_weight(test: str) -> tuple[int, str]:
    """Tests of single modules before those that open a system."""
    folder = test.split("/")[1]
    return (LIGHT.index(folder) if folder in LIGHT else len(LIGHT), test)


def _list_imports(root: Path, source: str) -> Iterator[str]:
    """The modules that it imports, or names as "package.module:attribute"."""
    for node in ast.walk(ast.parse((root / source).read_bytes())):
        match node:
            case ast.Import(names=names):
                yield from (file for name in names for file in _files_of(name.name))
            case ast.ImportFrom(module=str(module), names=names):
                yield from (file for name in names for file in _files_of(f"{module}.{name.name}"))
                yield from _files_of(module)
            case ast.Constant(value=str(text)):
                yield from _files_of(text.partition(":")[0])
                yield from (f"{folder}/{text}.py" for folder in ADAPTERS)
                yield from (f"{folder}/{name}.py" for folder in ADAPTERS for name in USED.findall(text))


def _files_of(module: str) -> tuple[str, str]:
    path = module.replace(".", "/")
    return f"{path}.py", f"{path}/__init__.py"


def _mutations_of(name: str, content: bytes) -> Iterator[Mutation]:
    lines = [0]
    for line in content.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    for node, mutated in _walk(ast.parse(content)):
        start, end = (lines[node.lineno - 1] + node.col_offset, lines[node.end_lineno - 1] + node.end_col_offset)
        old, new = content[start:end].decode(), ast.unparse(mutated)
        yield Mutation(name, node.lineno, start, end, old, f"({new})" if isinstance(node, ast.expr) else new)


def _walk(tree: ast.AST) -> Iterator[tuple[Any, ast.AST]]:
    """Each node that can be mutated, and what it becomes. Annotations say nothing that a test could notice."""
    yield from ((tree, mutated) for mutated in _mutate(tree))
    for name, value in ast.iter_fields(tree):
        if name in {"annotation", "returns", "decorator_list"} or (isinstance(tree, ast.AnnAssign) and name != "value"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):
                yield from _walk(child)


def _mutate(node: ast.AST) -> Iterable[ast.AST]:
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=right) if type(operator) in OPPOSITES:
            yield ast.Compare(left, [_opposite(operator)], right)
        case ast.BoolOp(op=operator, values=values):
            yield ast.BoolOp(_opposite(operator), values)
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in OPPOSITES:
            yield ast.BinOp(left, _opposite(operator), right)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.Constant(value=bool() | int() | float() as value):
            yield ast.Constant(not value if isinstance(value, bool) else value + 1)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield ast.IfExp(test, orelse, body)
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.Raise():
            yield ast.Pass()
        case ast.Break() | ast.Continue():
            yield _opposite(node)


def _opposite(node: ast.AST) -> Any:
    return OPPOSITES[type(node)]()

"""No pattern of ours is quadratic: each is tried on long texts of the worst kind, made of its own parts.

`re` holds the lock of the interpreter while it searches, so a slow pattern stops everything, health and kill switch included.
A pattern is known by being the argument of a function of `re`, wherever it stands. One that is only matched or fully matched is
tried so; every other one is searched. One that is built at run time stands in `BUILT` with an example, one that never meets a
foreign text of unbounded length in `BOUNDED` with the reason.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest

from tests.architecture.worst_texts import ENDS, GROWTH, growth, worst_texts

ROOT = Path(__file__).parents[2]
LAYERS = ("foundation", "models", "retrieval", "orchestration", "observability", "serving", "extensions")
ANCHORED = {"match", "fullmatch"}
FUNCTIONS = ANCHORED | {"compile", "search", "findall", "finditer", "split", "sub", "subn"}
# Patterns that are put together at run time, by the name of their file: one for each, with the usual words in its places
BUILT = {
    "install": [r"no space left"],
    "records": [r"\bBLOB\b"],
    "scripted_chat": [r"refund"],
    "field_extraction": [r"word"],
    "objects": [r"only compiled"],
    "values": [r"(?<![^\s(\"])ana(?=[\s)\"]|[.:!?…]+(?:[\s)\"]|$)|$)"],
    "guard": [r"<[\s/]*passage\b"],
    "stated_arguments": [r"(?<!\w)word(?!\w)", r"\bone\s+(?:more\s+)?day\b"],
    "classifier": [r"what is open\b"],
    "tools": [r"(?:(?<!\s)\s++)?(?:please\s++|can you\s++){0,3}(?:remember|note)(?:\s*,)?(?:\s+that\b|\s*:)\s*"],
    "risk_register": [r'"a test"|\ndef a_test\(', r"^ *(?:async )?(?:class|def) part\b"],
    "from_documents": [r"(?<!\w)word(?!\w)", r"a\s+quoted\s+sentence"],
    "checking": [r"(?<!\w)three[\W_]+plain[\W_]+words(?!\w)[.!?\u3002]?"],
    "contradictions": [r"[^\W\d_A-Z],? Ana\b"],
    "figures": [r"(?<![\d.,])1,234(?![\d])"],
    "names": [r"(?<!\w)a"],
    "words": [r"(?<!\w)lifting\ gear(?!\w)"],
    "xlsx": [
        r"(?s)\A(?>(.*?</(?:\w+:)?sheetData>)).*(</(?:\w+:)?worksheet>)",
        r"(?s)\A(?>(.*?)<(?:\w+:)?definedNames\b).*</(?:\w+:)?definedNames>",
    ],
    "erasure": [r'thread\-1|"ana"|>ana<'],
}
BOUNDED = {
    r"([a-z]+)\*": "a table of ours, once at import",
    r"([^\W\d_][\w'’-]*) $": "the few characters before a name",
    r"(\w+) ->> '\$\.(\w+)'": "our own SQL",
    r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>": "NiceGUI's own page, once at the start",
    r"<style>(.*?)</style>": "our own page of signing in, once at the start",
}


@cache
def _sources() -> dict[str, ast.Module]:
    files = [file for layer in LAYERS for file in sorted((ROOT / layer).rglob("*.py"))]
    return {str(file.relative_to(ROOT)): ast.parse(file.read_text(encoding="utf-8")) for file in files}


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        function = node.func if isinstance(node, ast.Call) else None
        if isinstance(function, ast.Attribute) and function.attr in FUNCTIONS and ast.unparse(function.value) == "re":
            yield cast("ast.Call", node)


@cache
def _uses() -> dict[str, set[str]]:
    """Return the methods that are called on each name of each module; "" where it is also used without one."""
    uses: dict[str, set[str]] = {}
    for path, tree in _sources().items():
        imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        homes = {one.name: f"{(node.module or '').replace('.', '/')}.py" for node in imported for one in node.names}
        methods = {id(node.value): node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id.isupper():
                uses.setdefault(f"{homes.get(node.id, path)} {node.id}", set()).add(methods.get(id(node), ""))
    return uses


def _held(value: Any) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, tuple | list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _held(item)


def _module(path: str) -> ModuleType:
    return importlib.import_module(path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))


def _calls_inside(path: str) -> list[ast.Call]:
    """Return the calls inside of functions, each once; what is compiled at import is held by a name."""
    functions = [
        node for node in ast.walk(_sources()[path]) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [*{id(call): call for function in functions for call in _calls(function)}.values()]


def _named(path: str) -> Iterator[tuple[re.Pattern[Any], set[str]]]:
    """Yield the patterns that a module holds by a name of its own, with the methods that are called on them."""
    own = {
        node.id for node in ast.walk(_sources()[path]) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    for name, value in ((name, value) for name, value in vars(_module(path)).items() if name in own):
        for pattern in _held(value):
            yield pattern, _uses().get(f"{path} {name}", {""}) - {"pattern", "flags"} if pattern is value else {""}


def _found(path: str) -> Iterator[tuple[re.Pattern[str], set[str]]]:
    yield from ((_as_text(pattern), methods) for pattern, methods in _named(path))
    for call in _calls_inside(path):
        if not _is_open(call.args[0]):
            pattern = eval(compile(ast.Expression(call.args[0]), path, "eval"), vars(_module(path)))
            yield _as_text(re.compile(pattern)), {call.func.attr}  # type: ignore[attr-defined]
    yield from ((re.compile(example, re.IGNORECASE), {"search"}) for example in BUILT.get(Path(path).stem, ()))


def _as_text(pattern: re.Pattern[Any]) -> re.Pattern[str]:
    if isinstance(pattern.pattern, str):
        return pattern
    return re.compile(pattern.pattern.decode("latin-1"), pattern.flags | re.ASCII)


def _searches(pattern: re.Pattern[str], methods: set[str]) -> list[Callable[[str], object]]:
    if methods and methods <= ANCHORED:
        return [getattr(pattern, method) for method in sorted(methods)]
    return [lambda text: sum(1 for _ in pattern.finditer(text))]


def worst_growth(pattern: re.Pattern[str], methods: Iterable[str] = ()) -> str:
    """Return a text on which the pattern's work grows faster than the text; empty where there is none."""
    for search in _searches(pattern, {*methods}):
        for begin, unit in worst_texts(pattern):
            for end in ENDS:
                if (grown := growth(search, begin, unit, end)) > GROWTH:
                    return f"four times {unit!r} after {begin!r} and before {end!r} is {grown:.0f} times the work"
    return ""


@pytest.mark.parametrize("layer", LAYERS)
def test_no_pattern_is_slow_on_a_long_text(layer: str) -> None:
    paths = [path for path in _sources() if path.startswith(layer)]
    found = {(pattern, *sorted(methods)): path for path in paths for pattern, methods in _found(path)}
    slow = {
        f"{path}: {pattern.pattern[:80]!r}": text
        for (pattern, *methods), path in found.items()
        if pattern.pattern not in BOUNDED and (text := worst_growth(pattern, methods))
    }
    assert not slow


def test_a_pattern_that_is_built_at_run_time_is_known() -> None:
    built = {Path(path).stem for path in _sources() if any(_is_open(call.args[0]) for call in _calls_inside(path))}
    assert built <= BUILT.keys()


def _is_open(pattern: ast.expr) -> bool:
    """Whether it has a part that is no constant of its module and no other pattern's text."""
    names = {node.id for node in ast.walk(pattern) if isinstance(node, ast.Name)}
    return any(not name.isupper() and name != "re" for name in names)


@pytest.mark.parametrize(
    "slow",
    [
        r"\d+(?:[:/-]\d+)+",
        r"^(a+)+$",
        r"\s*\|\s*",
        r"[^\W\d_]{3,}(?=[\w.+-]*@)",
        r"\W*(?:please|kindly) do",
        r"(x+x+)+y",
    ],
)
def test_the_texts_find_patterns_that_are_slow(slow: str) -> None:
    assert worst_growth(re.compile(slow))

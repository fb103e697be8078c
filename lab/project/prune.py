"""What goes with the parts that are left out: the modules that only they reach, and the tests and packages of those.

Imports are read with `ast`. grimp and modulefinder look a package up on the path of the Python that runs, and here the tree is another one;
grimp also passes over folders without `__init__.py`, as the tests are.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from lab.project.choices import Choices, read_optional, read_presets

CODE = (
    "foundation",
    "models",
    "retrieval",
    "orchestration",
    "serving",
    "observability",
    "extensions",
    "examples",
    "lab",
)
STARTED = (
    "foundation.machine.install",
    "serving.app",
    "serving.cli.__main__",
    "serving.cli.make",
    "serving.cli.project.update",
    "examples",
    "extensions",
)
"""Modules that are started by their names, in every project."""
LOADED = {
    "observability.proposals.from_feedback": "redaction",
    "orchestration.flow.planned_agent": "planners/classifier",
    "orchestration.flow.cascade": "agents/auto",
    "retrieval.grounding.evidence": "entailment/signs",
    "serving.http.quotas": "caches/memory",
    "serving.http.answer_cache": "caches/memory",
}
"""A module -> the part which it opens by its name, even where stack.toml does not say it."""
ASKS_FIRST = re.compile(r"""(?:needs|is_there|load_if_there)\("[\w.]+"\)""")
"""What a test says that goes on without the part, or loses one test with it."""
COMMON = ("chat", "console", "json", "model")
"""Names of adapters and parsers that tests also have for other things."""

Parts = dict[str, set[str]]
"""What can be kept or left out -> the modules that it is."""


def parts_of(tree: Path) -> Parts:
    """Each section of optional.toml and each command by its name; each adapter, parser and route by its folder and file: `vectors/qdrant`."""
    modules, folders = modules_of(tree, CODE), folders_of(tree)
    routes = _constant(tree / "serving/app.py", "ROUTES")
    parts: Parts = {}
    for group in _constant(tree / "serving/cli/main.py", "COMMANDS").values():
        parts |= {name: {place.partition(":")[0]} for name, (place, _) in group.items()}
    for name in modules:
        folder, _, file = name.rpartition(".")
        if folder in folders or (folder == "serving.api" and name in routes):
            parts[f"{folder.rpartition('.')[2]}/{file}"] = {name}
    places = {name: file.relative_to(tree).as_posix() for name, file in modules.items()}
    for name, section in read_optional(tree).items():
        paths = tuple(path if path.endswith(".py") else f"{path}/" for path in section["paths"])
        parts[name] = {module for module, place in places.items() if place.startswith(paths)}
    return parts


def folders_of(tree: Path) -> tuple[str, ...]:
    """The packages whose files are adapters, and that of the parsers."""
    return (*_constant(tree / "foundation/components.py", "PORTS").values(), "retrieval.parsers")


def left_out_of(tree: Path, choices: Choices) -> frozenset[str]:
    """All parts that these choices leave out."""
    parts = parts_of(tree)
    kept = {*parts}
    if choices.only is not None:
        kept = {*read_presets(tree)[choices.only]["keep"], *choices.keep}
        # what stands in a section, such as a command, comes with the whole of it
        kept |= {
            section for section in read_optional(tree) for name in kept if parts[name] and parts[name] <= parts[section]
        }
        kept |= {need for needs in needs_of(tree, {*parts} - kept).values() for need in needs}
    left_out = frozenset(parts) - (kept - {*choices.without})
    gone = {module for name in choices.without for module in parts.get(name, ())}
    # a command of a section goes with it
    return left_out | {name for name, own in parts.items() if own and own <= gone}


def needs_of(tree: Path, left_out: Collection[str]) -> dict[str, list[str]]:
    """Sections of optional.toml and modules that stay -> the parts without which they do not start."""
    sections = {name: part.get("needs", []) for name, part in read_optional(tree).items() if name not in left_out}
    gone = modules_without(tree, left_out)
    return sections | {
        f"{module.replace('.', '/')}.py": [part] for module, part in LOADED.items() if module not in gone
    }


def modules_without(tree: Path, left_out: Collection[str]) -> set[str]:
    """The modules that nothing reaches any more without these parts, and that something reached with them."""
    parts, modules = parts_of(tree), modules_of(tree, CODE)
    imports = {name: imports_of(path) for name, path in modules.items()}
    always = {*STARTED, *folders_of(tree)}
    kept = {module for name, own in parts.items() if name not in left_out for module in own}
    everything = {module for own in parts.values() for module in own}
    reached = reach(always | everything, imports)
    gone = reached - reach(always | kept, imports)
    gone |= {name for name in imports.keys() - reached if imports[name] & gone}  # started by its name by what is gone
    return gone & modules.keys()


def modules_of(tree: Path, packages: Iterable[str]) -> dict[str, Path]:
    """Modules of these folders -> their files."""
    files = (path for package in packages for path in (tree / package).rglob("*.py"))
    return {".".join(file.relative_to(tree).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imports_of(path: Path, *, inner: bool = True) -> set[str]:
    """All that a file imports, if `inner` anywhere in it, or starts by `-m`, by dotted names; of `a.b` also `a`."""
    return _imports_in(path.read_text(encoding="utf-8"), inner=inner)


@cache  # by the text: most files of a project are those of the tree
def _imports_in(text: str, *, inner: bool) -> set[str]:
    tree, names = ast.parse(text), set[str]()
    for node in _statements_of(tree) if inner else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree) if re.search(r"""["']-m["']""", text) else ():
        if isinstance(node, ast.List):
            words = [getattr(element, "value", None) for element in node.elts]
            names |= {word for flag, word in pairwise(words) if flag == "-m" and isinstance(word, str)}
    return {".".join(steps[:end]) for steps in (name.split(".") for name in names) for end in range(1, len(steps) + 1)}


def _statements_of(tree: ast.AST) -> Iterator[ast.AST]:
    """All statements, at any depth. `ast.walk` visits every expression too, which takes five times as long."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for block in ("body", "orelse", "handlers", "finalbody", "cases"):
            inner = getattr(node, block, ())
            waiting += inner if isinstance(inner, list) else ()


def reach(roots: Iterable[str], imports: Mapping[str, Collection[str]]) -> set[str]:
    """The roots, their packages, and all that these import, and so on."""
    reached: set[str] = set()
    waiting = {".".join(root.split(".")[: end + 1]) for root in roots for end in range(root.count(".") + 1)}
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= {other for other in imports.get(name, ()) if other not in reached}
    return reached


def tests_without(tree: Path, modules: Collection[str], left_out: Collection[str], kept: Collection[str]) -> set[Path]:
    """Files under tests/ that import or name what is gone, and those that import such a file. Of `kept` only what they import counts."""
    tests = modules_of(tree, ["tests"])
    imports = {name: imports_of(path) for name, path in tests.items()}
    words = list(_words_of(tree, left_out, modules))
    ports = _constant(tree / "foundation/components.py", "PORTS")
    # a suite is for all adapters of its port, so that it may name one that is gone
    kept = kept or {f"tests/contracts/test_{port.rpartition('.')[2]}.py" for port in ports}
    gone = {
        name
        for name, path in tests.items()
        if imports[name] & {*modules} or (str(path.relative_to(tree)) not in kept and _names_gone(path, modules, words))
    }
    while more := {name for name in tests if name not in gone and imports[name] & gone}:
        gone |= more
    # doubles that only those tests had, by an import or by their names
    started = {name for name in tests if name.rpartition(".")[2].startswith(("test_", "conftest"))}
    doubles = {name for name in tests if name.startswith(("tests.doubles.", "tests.contracts.broken."))}
    alone = doubles - reach(started - gone, imports)
    while True:
        left = "".join(path.read_text(encoding="utf-8") for name, path in tests.items() if name not in gone | alone)
        if not (named := {name for name in alone if re.search(rf"[\"']{re.escape(name)}\b", left)}):
            break
        alone -= named
    gone |= alone
    return {tests[name] for name in gone if tests[name].name != "conftest.py"}


def _names_gone(path: Path, modules: Collection[str], words: Iterable[tuple[str, str]]) -> bool:
    """Whether a test has the name of a module or file that is gone, or one of the words."""
    text = ASKS_FIRST.sub("", path.read_text(encoding="utf-8"))
    named = (name.replace("/", ".").removesuffix(".py") for name in re.findall(r"[a-z]\w*(?:[./]\w+)+", text))
    prefixes = {part for name in named for part in accumulate(name.split("."), "{}.{}".format) if "." in part}
    if not prefixes.isdisjoint(modules):
        return True
    # most texts have none of the words, and to look for them is a tenth of the time of all patterns at once
    return path.name.startswith("test_") and any(word in text and re.search(pattern, text) for word, pattern in words)


def _words_of(tree: Path, left_out: Collection[str], modules: Collection[str]) -> Iterator[tuple[str, str]]:
    """How a test names a part that is gone: an adapter, a file that a parser reads, a command that is called, a route's path. A word that
    stands in every such text, and the pattern of it.
    """
    parts = parts_of(tree)
    gone = {name for name in left_out if parts[name] and parts[name] <= {*modules}}
    left = {name.rpartition("/")[2] for name in parts if name not in gone}
    ports = _constant(tree / "foundation/components.py", "PORTS")
    sections = {package.rpartition(".")[2]: section for section, package in ports.items()}
    for name in gone:
        folder, _, file = name.rpartition("/")
        if folder and file in COMMON:
            continue
        if folder == "api":
            yield from _paths_of(tree / f"serving/api/{file}.py")
        elif folder == "parsers":
            yield file, rf"""\w\.{file}["']"""
        elif folder and file not in left:
            yield file, rf"""["']{file}\\?["'](?!\s*[:\]])"""
        elif folder:
            yield file, rf"""{sections[folder]}["'][^\n]{{0,40}}["']{file}["']"""
        else:
            yield file, rf"""[(,] ?\["{file}"|\bmake {file}\b|\bcli", "{file}"|run\w*\((?:\w+, )?"{file}\""""


def _paths_of(routes: Path) -> Iterator[tuple[str, str]]:
    """How the paths of a file of routes begin, and their patterns."""
    text = routes.read_text(encoding="utf-8") if routes.exists() else ""
    prefix = re.search(r'APIRouter\(.*?prefix="([^"]*)"', text)
    for path in re.findall(r'@router\.\w+\(\s*"([^"]*)"', text):
        whole = (prefix[1] if prefix else "") + path
        yield whole.partition("{")[0], re.sub(r"\{\w+\}", r"[^/\\s]+", whole) + r"\b(?!/)"


def packages_without(tree: Path, modules: Collection[str], left: Path) -> list[str]:
    """The packages of pyproject.toml that were imported by what goes, or named by a module that goes, and that nothing imports which is
    left: the files of that folder. Of those for development alone, only imports by tests count, since others are started by their names.
    """
    text = (tree / "pyproject.toml").read_text(encoding="utf-8").partition("[tool.")[0]
    run, develop = (re.findall(r'"([\w.-]+)[\[<>=~!]', part) for part in text.split("[dependency-groups]"))
    tests = {*(left / "tests").rglob("*.py")}
    # what a test imports in a function is for a part that it tries there, where that is left
    used = _distributions({*left.rglob("*.py")} - tests) | _distributions(tests, inner=False)
    everything = modules_of(tree, CODE)
    gone = [everything[name] for name in modules]
    # such as that of the weights, which is no module
    named = {
        re.sub(r"[._]", "-", name) for file in gone for name in re.findall(r'"([\w.-]+)"', file.read_text("utf-8"))
    }
    of_tests = _distributions(
        path for path in (tree / "tests").rglob("*.py") if not (left / path.relative_to(tree)).exists()
    )
    unused = [package for package in run if _is_among(package, _distributions(gone) | named)]
    unused += [package for package in develop if _is_among(package, of_tests)]
    unused = [package for package in unused if not _is_among(package, used)]
    # what another package imports at run time says so in its line, and goes with that package
    needed_by = dict(re.findall(r'"([\w.-]+)[\[<>=~!].*# ([\w.-]+) needs it', text))
    return [package for package in unused if needed_by.get(package, package) in unused]


def _distributions(files: Iterable[Path], *, inner: bool = True) -> set[str]:
    return {re.sub(r"[._]", "-", name).lower() for file in files for name in imports_of(file, inner=inner)}


def _is_among(package: str, imported: Collection[str]) -> bool:
    """Whether what is imported comes from the package: `docx` from python-docx, `yaml` from pyyaml."""
    return any(name in imported for name in (package, package.removeprefix("python-"), package.removeprefix("py")))


def _constant(path: Path, name: str) -> Any:
    """A literal that a module of the tree binds."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
            return ast.literal_eval(node.value)
    return ()

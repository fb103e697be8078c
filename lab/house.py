"""`make house`: how much there is to own, counted from the tree itself."""

from __future__ import annotations

import ast
import io
import json as jsons
import os
import re
import subprocess
import sys
import tempfile
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foundation.settings import Section
from foundation.types import LAYERS
from serving.cli import terminal
from serving.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
LONG_FILE = 400
PARTICIPLE = re.compile(
    r"_{0,2}([a-z]+ed|told|kept|taken|begun|given|said|known|found|made|seen|written|read|shown|chosen|held|left|sent|put|"
    r"set|done|cut|drawn|built|gone|meant|paid|sold|run|lost|grown|thrown|spoken|broken|driven|hidden|fallen|asked|named)"
)
"""Functions of such a name say neither what they do nor what they are."""
FILLERS = frozenset(
    [
        "one",
        "told",
        "each",
        "known",
        "found",
        "given",
        "said",
        "kept",
        "taken",
        "begun",
        "asked",
        "made",
        "left",
        "other",
        "rest",
    ]
)
"""Variables of such a name do not say what they hold."""
AIMS: dict[str, float] = {
    "lines in the six layers": 23_500,
    "files at a layer's top": 8,
    "files in a folder": 14,
    f"files over {LONG_FILE} lines": 6,
    "longest file": 600,
    "longest function": 60,
    "functions named by a bare participle": 40,
    "filler variables": 200,
    "own-line comments, percent of lines": 1.5,
    "targets that make shows": 18,
    "settings of stack.toml": 120,
}
JUDGING = ("observability/evaluation/", "extensions/value/", "serving/cli/judge/", "serving/judge/")
"""Folders of the layers that judge a system, beside those that run it; the lab proves the template."""
RUNNING = """
import asyncio, json, sys
from pathlib import Path
from foundation.types import LAYERS, Principal
from serving.access.identity import KeyStore
from serving.app import create_app
from serving.judge import trial
from serving.settings import load
from serving.wiring import open_system

with open_system(load(Path("stack.toml"))) as system:
    KeyStore.of(system.settings, system.context.clock).create(subject="a", tenant="a", roles=["agent"])
    create_app(system)
    asyncio.run(trial.ask(system, "From what order value is delivery free?", Principal("a", "a", frozenset({"agent"}))))
print(json.dumps([m.__file__ for name, m in sys.modules.items() if name.partition(".")[0] in LAYERS and getattr(m, "__file__", None)]))
"""


@dataclass
class House:
    """What was counted; of every figure but the comments, less is better."""

    lines: Counter[str] = field(default_factory=Counter)
    """Lines of Python, by top-level folder."""
    rooms: Counter[str] = field(default_factory=Counter)
    """Python files, by folder of a layer; `__init__.py` does not count."""
    files: list[tuple[int, str]] = field(default_factory=list)
    functions: list[tuple[int, str]] = field(default_factory=list)
    participles: int = 0
    fillers: int = 0
    comments: int = 0
    targets: int = 0
    settings: int = 0
    roles: Counter[str] = field(default_factory=Counter)
    """Lines of Python that run a system, judge it, or prove the template."""

    def figures(self) -> dict[str, float]:
        """The figures that have an aim, by its name."""
        inside = sum(self.lines[layer] for layer in LAYERS)
        return {
            "lines in the six layers": inside,
            "files at a layer's top": max(count for room, count in self.rooms.items() if "/" not in room),
            "files in a folder": max(self.rooms.values()),
            f"files over {LONG_FILE} lines": sum(lines > LONG_FILE for lines, _ in self.files),
            "longest file": max(self.files)[0],
            "longest function": max(self.functions)[0],
            "functions named by a bare participle": self.participles,
            "filler variables": self.fillers,
            "own-line comments, percent of lines": round(100 * self.comments / inside, 2),
            "targets that make shows": self.targets,
            "settings of stack.toml": self.settings,
        }


def count_house(root: Path = ROOT) -> House:
    """Count what git tracks below `root`."""
    house = House()
    for name in _tracked(root):
        top, _, _ = name.partition("/")
        text = (root / name).read_text(encoding="utf-8")
        if top in {*LAYERS, "examples", "lab", "tests"}:
            house.lines[top] += text.count("\n")
        if top in LAYERS:
            house.roles["judge" if name.startswith(JUDGING) else "run"] += text.count("\n")
            _count_file(house, name, text)
    shown = subprocess.run(["make", "-s", "help"], cwd=root, capture_output=True, text=True, check=True).stdout
    house.roles["prove"] = house.lines["lab"]
    house.settings = sum(_keys_of(Settings))
    house.targets = len(re.findall(r"^  make \S+", shown, re.MULTILINE))
    return house


def run(json: Path | None) -> None:
    """Show the figures beside their aims, and the lines by folder."""
    house = count_house()
    figures = house.figures()
    content: dict[str, Any] = {
        "figures": figures,
        "aims": AIMS,
        "lines": dict(house.lines),
        "lines_by_role": dict(house.roles),
        "files_by_folder": dict(house.rooms.most_common()),
        "default_deployment": count_running(),
        "longest_files": sorted(house.files, reverse=True)[:5],
        "longest_functions": sorted(house.functions, reverse=True)[:5],
    }
    if terminal.write_json(json, content):
        return
    terminal.show_table(
        ["what", "now", "aim"], [(name, f"{value:g}", f"{AIMS[name]:g}") for name, value in figures.items()]
    )
    terminal.show_table(["folder", "lines"], house.lines.most_common())
    terminal.show_table(["lines that", ""], house.roles.most_common())
    terminal.show_table(["a default deployment, asked once, runs", ""], content["default_deployment"].items())
    terminal.show_table(["folder", "files"], house.rooms.most_common(10))
    terminal.show_table(["longest", "lines"], [(name, lines) for lines, name in content["longest_files"]])
    terminal.show_table(["longest", "lines"], [(name, lines) for lines, name in content["longest_functions"]])


def count_running(root: Path = ROOT) -> dict[str, int]:
    """Count the files of the layers, and their lines, that a server with stack.toml as it is has imported after one question."""
    with tempfile.TemporaryDirectory() as data:
        environment = {**os.environ, "PYTHONPATH": str(root), "SIXPLY__FOUNDATION__DATA_DIR": data}
        done = subprocess.run(
            [sys.executable, "-c", RUNNING], cwd=root, env=environment, capture_output=True, text=True, check=True
        )
    files = [Path(file) for file in jsons.loads(done.stdout.splitlines()[-1])]
    return {"files": len(files), "lines": sum(file.read_text(encoding="utf-8").count("\n") for file in files)}


def _keys_of(section: type[Section]) -> Iterator[int]:
    for kind in (each.annotation for each in section.model_fields.values()):
        inner = [part for part in (kind, *getattr(kind, "__args__", ())) if isinstance(part, type)]
        sections = [part for part in inner if issubclass(part, Section)]
        yield from (key for part in sections for key in _keys_of(part))
        if not sections:
            yield 1


def _count_file(house: House, name: str, text: str) -> None:
    folder, _, stem = name.rpartition("/")
    if stem != "__init__.py":
        house.rooms[folder] += 1
    house.files.append((text.count("\n"), name))
    house.comments += sum(_own_line_comments(text))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            house.functions.append(((node.end_lineno or node.lineno) - node.lineno + 1, f"{name}:{node.name}"))
            house.participles += PARTICIPLE.fullmatch(node.name) is not None
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            house.fillers += node.id in FILLERS


def _own_line_comments(text: str) -> Iterator[bool]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.line.strip().startswith("#")


def _tracked(root: Path) -> list[str]:
    command = ["git", "-C", str(root), "ls-files", "-z", "*.py"]
    return [
        name for name in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0") if name
    ]

"""Any one adapter file can be deleted: the rest is imported, configured and listed as before.

Done as a person would do it: in a copy of the tree. One process does it all, because what takes long is the import of
other people's packages, and that happens once; and it deletes half of the files of every port at a time, every second one, and then
the others. That no adapter leans on another one, which could be gone with it, is read from the imports.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from extensions.development.ports import CONTRACTS
from foundation.components import PORTS
from tests.tree import UNFINISHED

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"][
    "find"
]
PACKAGES = [name for listed in INSTALLED["include"] if (name := listed.rstrip("*")) != "lab"]
PARSERS = "retrieval.parsers"
FILES = {
    package: sorted(
        str(path.relative_to(ROOT))
        for path in ROOT.joinpath(*package.split(".")).glob("*.py")
        if path.name != "__init__.py"
    )
    for package in [PORTS.get(port, port) for port in CONTRACTS]
}
TURNS = 2
ROUNDS = [[file for files in FILES.values() for file in files[turn::TURNS]] for turn in range(TURNS)]
"""Every second file of each port, so that a port with several keeps some."""
TURN = {file: turn for turn, files in enumerate(ROUNDS) for file in files}
ADAPTERS = sorted(adapter for adapters in ROUNDS for adapter in adapters)
DOUBLES = {"serving.caches.memory"}
"""Adapters that need nothing, so that tests of other parts run on them. Who deletes one deletes a helper of the tests."""

PROGRAM = """
import gc, importlib, json, sys
from pathlib import Path

gc.set_threshold(100_000)  # each look makes half a million objects that stay

PACKAGES, ROUNDS = json.loads(sys.argv[1])


def everything():
    broken = {}
    for path in sorted(path for package in PACKAGES for path in Path(package).rglob("*.py")):
        name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        try:
            importlib.import_module(name)
        except Exception as error:
            broken[name] = repr(error)
    return broken


def said(*arguments):
    from typer.testing import CliRunner
    from serving.cli import main

    ran = CliRunner().invoke(main.app, list(arguments))
    assert ran.exit_code == 0, (arguments, ran.output, ran.exception)
    return ran.stdout


def refusal(section, name):
    from foundation import components
    from foundation.errors import SixplyError
    from foundation.settings import Part

    try:
        components.checked_options(section, Part(use=name))
    except SixplyError as error:
        return f"{type(error).__name__}: {error}"


def look(deleted):
    for known in [known for known in sys.modules if known.partition(".")[0] in PACKAGES]:
        del sys.modules[known]
    importlib.invalidate_caches()
    return {
        "here": importlib.import_module("foundation").__file__,
        "broken": everything(),
        "help": said("--help"),
        "config": said("config"),
        "parts": json.loads(said("parts", "--json", "-"))["adapters"],
        "refusals": {file: refusal(section, Path(file).stem) for file, section in deleted.items() if section},
    }


found = [look({})]
gc.freeze()
for deleted in ROUNDS:
    contents = {Path(file): Path(file).read_bytes() for file in deleted}
    for path in contents:
        path.unlink()
    found.append(look(deleted))
    for path, content in contents.items():
        path.write_bytes(content)
print("\\n" + json.dumps(found))
"""


def port_of(adapter: str) -> str | None:
    """Its section of stack.toml; parsers have none."""
    package = ".".join(Path(adapter).parent.parts)
    return next((section for section, folder in PORTS.items() if folder == package), None)


def module_of(adapter: str) -> str:
    return ".".join(Path(adapter).with_suffix("").parts)


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
    """What was found with nothing deleted, then after each round."""
    copy = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=UNFINISHED)
    for file in ("stack.toml", "policy.toml", "outcomes.toml", "pyproject.toml"):
        if (ROOT / file).exists():  # a small project has no outcome contract
            shutil.copy(ROOT / file, copy)
    order = json.dumps([PACKAGES, [{adapter: port_of(adapter) for adapter in deleted} for deleted in ROUNDS]])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, order], cwd=copy, env={**os.environ, "PYTHONPATH": str(copy), "NO_COLOR": "1"},
        capture_output=True, text=True, timeout=540, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert all(Path(each["here"]).is_relative_to(copy) for each in found)
    return found


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_without_it_everything_else_is_imported_configured_and_listed(looked, adapter):
    before, after, deleted = looked[0], looked[TURN[adapter] + 1], ROUNDS[TURN[adapter]]
    assert after["broken"] == before["broken"], "what cannot be imported without its extra, and nothing more"
    assert after["help"] == before["help"]
    assert "retrieval.vectors.use" in after["config"]
    gone = [(port_of(deletion) or PARSERS, Path(deletion).stem) for deletion in deleted]
    assert after["parts"] == [part for part in before["parts"] if (part["port"], part["name"]) not in gone]
    assert len(after["parts"]) == len(before["parts"]) - len(deleted)


@pytest.mark.parametrize("adapter", [adapter for adapter in ADAPTERS if port_of(adapter)])
def test_who_still_asks_for_it_is_told_what_there_is(looked, adapter):
    told, name, folder = looked[TURN[adapter] + 1]["refusals"][adapter], Path(adapter).stem, Path(adapter).parent
    assert told.startswith(f'UnknownPart: No adapter "{name}" in {folder}.')


def test_no_part_of_the_system_imports_an_adapter():
    """Nor does one adapter another: they are found by name, and what two of them share stands outside of their folders."""
    names = {module_of(adapter) for adapter in ADAPTERS}
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    assert {str(path.relative_to(ROOT)): found for path in files if (found := names & _imported(path))} == {}


@pytest.mark.parametrize("adapter", [adapter for adapter in ADAPTERS if module_of(adapter) not in DOUBLES])
def test_no_test_but_its_own_is_built_on_it(adapter):
    """A test file is its own where the name says so: of the adapter, or of its port."""
    module, stem, folder = module_of(adapter), Path(adapter).stem, Path(adapter).parent.name
    own = {stem, folder, folder.removesuffix("s"), *stem.split("_")}
    others = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if module in _imported(path) and not own & set(path.stem.split("_"))
    ]
    assert others == []


@cache
def _imported(path: Path) -> set[str]:
    """Modules that a file names in an import, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found

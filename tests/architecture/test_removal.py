"""What is optional can be deleted, folder by folder and all at once: the rest is imported, starts and answers as before.

Done as a person would do it, in a copy of the tree. One process does it all, because what takes long is the import of other
people's packages, and that happens once.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from foundation.components import is_there
from tests.conftest import MADE
from tests.tree import UNFINISHED

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("foundation", "models", "retrieval", "orchestration", "observability", "serving", "extensions", "examples")

ALL_PARTS = tomllib.loads((ROOT / "optional.toml").read_text(encoding="utf-8"))
OPTIONAL = {
    name: part
    for name, part in ALL_PARTS.items()
    if any((ROOT / path).exists() for path in part["paths"])  # of what was deleted here nothing is asked
}
ROUNDS = {name: part["paths"] for name, part in OPTIONAL.items()}
ROUNDS["all"] = sorted(path for paths in ROUNDS.values() for path in paths)
ASKS_FIRST = re.compile(r"""(?:needs|is_there|load_if_there)\("[\w.]+"\)""")
"""How a test file that stays says which of its tests goes."""
ROUTES = {name: [route.split() for route in part.get("routes", [])] for name, part in OPTIONAL.items()}


def pattern_of(path: str) -> str:
    """How a test says that it needs the path: `serving.cli`, `serving/cli`, `"serving" / "cli"`, or an import."""
    if path.endswith(".py"):
        *folders, name = Path(path).with_suffix("").parts
        return rf"{'[./]'.join(folders)}(?:[./]| import .*\b){name}\b"
    if "/" not in path:
        return rf"(?:from|import) {path}\b"
    return r"""(?:[./]|" / "| import )""".join(path.split("/"))


PROGRAM = """
import asyncio, gc, importlib, json, shutil, sys, tempfile
from pathlib import Path

gc.set_threshold(100_000)  # each look makes half a million objects that stay

PACKAGES, ROUNDS, ROUTES = json.loads(sys.argv[1])
# The installed tree must not stand in for what is deleted from the copy.
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")]


def import_everything():
    broken = {}
    for path in sorted(path for package in PACKAGES for path in Path(package).rglob("*.py")):
        name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        try:
            importlib.import_module(name)
        except Exception as error:
            broken[name] = repr(error)
    return broken


async def call(routes):
    import httpx2
    from serving.app import create_app
    from tests.doubles.serving import world

    with tempfile.TemporaryDirectory() as folder:
        given = world(Path(folder))
        app = create_app(given.system)
        client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1",
            headers={"Authorization": f"Bearer {given.reader}"},
        )
        async with app.router.lifespan_context(app), client:
            answer = await client.post("/v1/answers", json={"question": "When does it ship?"})
            found = {path: (await client.request(method, path, json={})).status_code for method, path in routes}
    return answer.status_code, answer.json().get("status"), found


def look():
    for name in [name for name in sys.modules if name.partition(".")[0] in (*PACKAGES, "lab", "tests")]:
        del sys.modules[name]
    importlib.invalidate_caches()
    where, broken = importlib.import_module("foundation").__file__, import_everything()
    status, outcome, routes = asyncio.run(call(ROUTES))
    main, typer = importlib.import_module("serving.cli.main"), importlib.import_module("typer")
    commands = sorted(typer.main.get_command(main.app).commands.keys())
    return {"here": where, "broken": broken, "answer": [status, outcome], "routes": routes, "commands": commands}


found = {"nothing": look()}
gc.freeze()
for name, paths in ROUNDS.items():
    away = Path(tempfile.mkdtemp(dir=".."))
    for number, path in enumerate(paths):
        shutil.move(path, away / str(number))
    found[name] = look()
    for number, path in enumerate(paths):
        shutil.move(away / str(number), path)
print("\\n" + json.dumps(found))
"""


@pytest.fixture(scope="module")
def looks(tmp_path_factory):
    """What was found with nothing deleted, and after each deletion."""
    copy = tmp_path_factory.mktemp("removal") / "copy"
    for folder in (*PACKAGES, "lab", "tests/doubles", "tests/lab"):
        if (ROOT / folder).is_dir():
            shutil.copytree(ROOT / folder, copy / folder, ignore=UNFINISHED)
    for file in ("stack.toml", "policy.toml", "outcomes.toml", "pyproject.toml"):
        shutil.copy(ROOT / file, copy)
    rounds = {name: [path for path in paths if (copy / path).exists()] for name, paths in ROUNDS.items()}
    routes = [route for routes in ROUTES.values() for route in routes]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([PACKAGES, rounds, routes])], cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "NO_COLOR": "1"}, capture_output=True, text=True, timeout=540, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert all(Path(look["here"]).is_relative_to(copy) for look in found.values())
    return found


@pytest.mark.parametrize("name", ROUNDS)
def test_without_it_the_rest_is_imported_starts_and_answers(looks, name):
    assert looks[name]["broken"] == looks["nothing"]["broken"], (
        "what cannot be imported without its extra, and nothing more"
    )
    assert looks[name]["answer"] == [200, "answered"]


@pytest.mark.parametrize("name", OPTIONAL)
def test_nothing_that_stays_imports_it_not_even_inside_of_a_function(name):
    """What needs it goes before it; the lab, which proves the whole template, before all else."""
    gone = [name, *(other for other, part in OPTIONAL.items() if name in part.get("needs", []))]
    places = {(ROOT / path).resolve() for other in gone for path in OPTIONAL[other]["paths"]}
    modules = {
        ".".join(Path(path).with_suffix("").parts) for path in ROUNDS[name] if not path.startswith(("lab", "tests"))
    }
    importers = {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
        if places.isdisjoint([file, *file.parents]) and not modules.isdisjoint(imported_by(file))
    }
    assert importers == set()


@cache
def imported_by(file):
    """The modules of ours that a file imports wherever it does, with the packages around them."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    names = {f"{node.module}.{alias.name}" for node in froms for alias in node.names} | {node.module for node in froms}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return {".".join(parts[:end]) for parts in (name.split(".") for name in names) for end in range(1, len(parts) + 1)}


@pytest.mark.parametrize("name", ROUNDS)
def test_what_is_gone_answers_404_and_nothing_else_does(looks, name):
    gone = {path for part, routes in ROUTES.items() if name in {part, "all"} for _, path in routes}
    assert {path for path, status in looks[name]["routes"].items() if status == 404} == gone


@pytest.mark.parametrize("name", ROUNDS)
def test_a_command_that_is_gone_is_left_out_and_no_other(looks, name):
    gone = {command for part in OPTIONAL if name in {part, "all"} for command in OPTIONAL[part].get("commands", [])}
    assert set(looks["nothing"]["commands"]) - set(looks[name]["commands"]) == gone


@pytest.mark.parametrize("name", OPTIONAL)
def test_it_is_said_which_tests_go_with_it(name):
    part = OPTIONAL[name]
    needed = "|".join(map(pattern_of, [*part["paths"], *part["tests"]]))
    files = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("*.py")
        if re.search(needed, ASKS_FIRST.sub("", path.read_text(encoding="utf-8")))
        and not path.is_relative_to(ROOT / "tests" / "lab")
        and path.name not in {"test_removal.py", "test_guards.py"}
    }
    assert files <= set(part["tests"])


def test_what_a_test_needs_is_a_part_that_can_be_deleted_or_left_out():
    """With any other name it would be left out everywhere."""
    listed = {".".join(Path(path).with_suffix("").parts) for part in ALL_PARTS.values() for path in part["paths"]}
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")]
    named = {name.strip('"') for text in texts for name in re.findall(r"\bmark\.needs\((.+?)\)", text)}
    assert named
    assert MADE or [name for name in named - listed if not is_there(name)] == []

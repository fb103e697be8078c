"""What is optional can be deleted, folder by folder and all at once: the rest is imported, starts and answers as before.

Done as a person would do it, in a copy of the tree. One process does it all, because what takes long is the import of other
people's packages, and that happens once.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("foundation", "models", "retrieval", "orchestration", "observability", "serving", "examples")

OPTIONAL = {
    "page": ["serving/page"],
    "compat": ["serving/compat"],
    "mcp": ["serving/mcp"],
    "ray": ["retrieval/ingest/ray_workers.py", "serving/processes/ray_replicas.py"],
    "example": ["examples/support_desk"],
    "lab": ["lab", "tests/lab"],
}
ROUNDS = {**OPTIONAL, "all": sorted(path for paths in OPTIONAL.values() for path in paths)}
ROUTES = {
    "page": [("GET", "/")],
    "compat": [("POST", "/v1/chat/completions"), ("POST", "/v1/responses"), ("POST", "/v1/messages")],
    "mcp": [("POST", "/mcp")],
}
"""What answers 404 once it is gone."""
NAMED = {
    "page": r"""serving[./]page|"serving" / "page\"""",
    "compat": r"serving[./]compat",
    "mcp": r"serving[./]mcp",
    "ray": r"ray_workers|ray_replicas|doubles.on_ray",
    "example": r"support_desk",
    "lab": r"(?:from|import) lab\b",
}
"""How a test says that it needs the folder."""
TESTS = {
    "page": ["tests/architecture/test_page.py", "tests/integration/test_api_access.py"],
    "compat": ["tests/docs/test_api.py", "tests/unit/serving/test_terminal.py"],
    "mcp": ["tests/integration/test_mcp_server.py"],
    "ray": [
        "tests/doubles/on_ray.py",
        "tests/integration/test_ray_serve.py",
        "tests/unit/retrieval/test_ingest_with_workers.py",
    ],
    "example": [
        "tests/contracts/test_tools.py",
        "tests/docs/test_stories.py",
        "tests/doubles/effects_child.py",
        "tests/faults/test_provider.py",
        "tests/integration/test_api_cli.py",
        "tests/integration/test_api_system.py",
        "tests/integration/test_gate.py",
        "tests/integration/test_strong_model.py",
        "tests/integration/test_swap_pages.py",
        "tests/integration/test_swap_report.py",
        "tests/unit/orchestration/test_asking_planner.py",
        "tests/unit/orchestration/test_desk_tools.py",
        "tests/unit/orchestration/test_classifier.py",
        "tests/unit/serving/test_demo_desk.py",
    ],
    "lab": [],
}
"""Test files that import what is deleted or read its files: they go with it, or lose the tests that need it."""

PROGRAM = """
import asyncio, importlib, json, shutil, sys, tempfile
from pathlib import Path

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
    return {"here": where, "broken": broken, "answer": [status, outcome], "routes": routes}


found = {"nothing": look()}
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
            shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
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


@pytest.mark.parametrize("name", ROUNDS)
def test_what_is_gone_answers_404_and_nothing_else_does(looks, name):
    gone = {path for part, routes in ROUTES.items() if name in {part, "all"} for _, path in routes}
    assert {path for path, status in looks[name]["routes"].items() if status == 404} == gone


@pytest.mark.parametrize("name", OPTIONAL)
def test_it_is_said_which_tests_go_with_it(name):
    files = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("*.py")
        if re.search(NAMED[name], path.read_text(encoding="utf-8"))
        and not path.is_relative_to(ROOT / "tests" / "lab")
        and path.name not in {"test_removal.py", "test_guards.py"}
    }
    assert files == set(TESTS[name])

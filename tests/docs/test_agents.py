"""What coding assistants read is true: its paths and commands exist, and the commands of the skills are run as they are written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from orchestration.settings import AnswerSettings
from tests.contracts.test_agent import CHECKS, Check
from tests.docs.test_links import missing
from tests.doubles.orchestration import World
from tests.make_rules import to_arguments
from tests.tree import copy_of_tree

ROOT = Path(__file__).parents[2]
AGENTS = (ROOT / "AGENTS.md").read_text(encoding="utf-8")
SKILLS = sorted((ROOT / ".agents" / "skills").glob("*/SKILL.md"))
COMMANDS = [
    (path.parent.name, command)
    for path in SKILLS
    for command in re.findall(r"^ {7}(make .*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
]
HOSTILE = "support_desk"
"""Two of its documents are refused, so taking it in ends with an error."""


def test_the_file_for_assistants_is_short_and_names_every_skill() -> None:
    assert len(AGENTS.splitlines()) < 150
    assert (ROOT / "CLAUDE.md").read_text() == "@AGENTS.md\n"
    listed = AGENTS.partition("## Skills")[2]
    assert set(re.findall(r"`([a-z-]+)`", listed)) == {path.parent.name for path in SKILLS}


def test_every_path_that_it_names_exists() -> None:
    paths = re.findall(r"`((?:[a-z_.]+/)+|[\w./]+\.(?:py|toml|md))`", AGENTS)
    assert len(paths) > 20
    assert [
        path for path in paths if not any((ROOT / place / path).exists() for place in ("", "tests", "serving"))
    ] == [name for name in ("contract.py", "settings.py", "build.py") if not (ROOT / "serving" / name).exists()]


def test_every_link_of_llms_txt_leads_somewhere() -> None:
    assert missing(ROOT / "llms.txt") == []
    assert (ROOT / "llms.txt").read_text().startswith("# ")


@pytest.mark.parametrize("path", SKILLS, ids=lambda path: path.parent.name)
def test_a_skill_has_the_open_format_and_is_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    _, head, body = text.split("---\n", 2)
    described = yaml.safe_load(head)
    assert described.keys() == {"name", "description"}
    assert described["name"] == path.parent.name
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", described["name"])
    assert "Use when" in described["description"]
    assert len(described["description"]) <= 1024
    assert len(body.splitlines()) < 50


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree with its documents taken in, so that a skill may write into it."""
    folder = tmp_path_factory.mktemp("skills") / "copy"
    copy_of_tree(folder)
    if (ROOT / "weights").is_dir():
        (folder / "weights").symlink_to(ROOT / "weights")
    ingest = next(command for _, command in COMMANDS if command.startswith("make ingest"))
    run_in(folder, ingest)
    return folder


@cache
def run_in(folder: Path, command: str) -> None:
    """Once, where several skills say the same."""
    done = subprocess.run(
        [sys.executable, "-m", "serving.cli", *to_arguments(command)], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200", "SIXPLY__SERVING__HTTP__PORT": "0"},  # 8600 may be taken
    )  # fmt: skip
    assert done.returncode == (1 if "make ingest" in command and HOSTILE in command else 0), (
        done.stdout[-2000:] + done.stderr[-2000:]
    )


@pytest.mark.slow
@pytest.mark.real_model
@pytest.mark.parametrize(("skill", "command"), COMMANDS, ids=lambda value: value)
def test_a_command_of_a_skill_does_what_the_skill_says(copy: Path, skill: str, command: str) -> None:
    of_the_skill = [line for name, line in COMMANDS if name == skill]
    for line in of_the_skill[: of_the_skill.index(command) + 1]:  # in their order: what is traced has been asked
        run_in(copy, line)


def test_the_page_describes_each_middleware_and_no_other() -> None:
    page = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
    listed = page.partition("`orchestration/middleware/`")[2].partition("Set options under")[0]
    there = {path.stem for path in (ROOT / "orchestration" / "middleware").glob("*.py")} - {"__init__", "base"}
    assert set(re.findall(r"^- `(\w+)`:", listed, re.MULTILINE)) == there


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> str:
    """The page's graph of one's own as a module that can be imported; what `use` names."""
    page = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"## A graph of your own.*?```python\n(.*?)```", page, re.DOTALL)
    module = ModuleType("agents_of_the_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code, "docs/agents.md", "exec", dont_inherit=True), vars(module))
    return f"{module.__name__}:build"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_graph_of_ones_own_on_the_page_keeps_what_an_agent_promises(
    check: Check, written: str, tmp_path: Path
) -> None:
    world = World(tmp_path, answers=AnswerSettings(compose="extractive"))
    try:
        await check(world, lambda world: world.agent(written))
    finally:
        world.close()

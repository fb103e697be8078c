"""The page docs/your-own.md is run as it is written: its files, its commands, on the bundled models."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serving.cli.main import app
from tests.make_rules import to_arguments
from tests.opened_once import models_opened_once  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "your-own.md").read_text(encoding="utf-8")
FILE = re.compile(r"`(ferry/[\w./-]+)`[^`]*(?:`[^`]+`[^`]*)*?\n\n```\w+\n(.*?)```", re.DOTALL)
WITHOUT_TOOL, FROM_TOOL_ON = (FILE.findall(part) for part in PAGE.split("## 4. "))
EXPORT = re.findall(r"^    export (SIXPLY_STACK=\S+)", PAGE, re.MULTILINE)[0]
COMMANDS = [line.partition("   ")[0] for line in re.findall(r"^    (make .*)$", PAGE, re.MULTILINE)]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    write(tmp_path, WITHOUT_TOOL)
    shutil.copy(ROOT / "outcomes.toml", tmp_path / "ferry" / "outcomes.toml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    name, _, value = EXPORT.partition("=")
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")  # for the process in which the gate asks
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "ferry"]:
        del sys.modules[name]


def write(folder: Path, files: list[tuple[str, str]]) -> None:
    """Append what the page says to its files, as its reader does."""
    for name, text in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(text)


def said(command: str, **given: str) -> str:
    """What the command of make says; `given` are values that a page can only hint at."""
    done = CliRunner().invoke(app, to_arguments(command, **given), catch_exceptions=False, env={"COLUMNS": "240"})
    assert done.exit_code == 0, (command, done.output)
    return done.output


@pytest.mark.real_model
def test_the_page_makes_a_system_that_answers_is_measured_and_acts(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {name for name, _ in WITHOUT_TOOL} == {
        "ferry/stack.toml", "ferry/corpus/fares.md", "ferry/corpus/timetable.md", "ferry/corpus/crew.md",
        "ferry/sources.jsonl", "ferry/golden.jsonl",
    }  # fmt: skip
    assert {name for name, _ in FROM_TOOL_ON} == {
        "ferry/tools.py", "ferry/policy.toml", "ferry/stack.toml", "ferry/golden.jsonl",
    }  # fmt: skip
    ingest, ask, evaluate, renew, gate, book, approvals, approve, case, roi, _serve = COMMANDS
    assert said(ingest).split()[-4] == "3"
    assert "14.50 euros" in said(ask)
    assert json.loads(said(f"{evaluate} JSON=-"))["overall"]["passed"]["mean"] == 1.0
    said(renew)
    assert (clone / "ferry" / "baseline.json").is_file()
    assert "passed: on 5 cases" in said(gate)
    write(clone, FROM_TOOL_ON)
    with_tool = json.loads(said(f"{evaluate} JSON=-"))["overall"]["passed"]
    assert (with_tool["mean"], with_tool["n"]) == (1.0, 6)
    assert "Book 2 seats on C-104 for harbour." in said(book)
    waiting = re.search(r"ap-\w+", said(approvals))
    assert waiting
    command = shlex.split(next(line for line in PAGE.splitlines() if "sixply keys add" in line and "lena" in line))
    key = re.search(r"sixply_\S+", CliRunner().invoke(app, command[1:], env={"COLUMNS": "240"}).output)
    assert key
    monkeypatch.setenv("SIXPLY_KEY", key.group())
    assert "2 seats on C-104 are booked." in said(approve, ID=waiting.group())
    assert "break-even" in said(case)
    assert "verdict" in said(roi)

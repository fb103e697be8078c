"""`make golden`: from a folder to a golden set that `make evaluate` scores, at a terminal with one key each, and in a script."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from observability.evaluation.golden_set import load_golden
from serving.cli import main
from tests.doubles import stacks

FARES = """# Fares

A single adult ticket costs 14.50 euros. The crossing takes 55 minutes. Refunds are paid within 10 days.

The Lady Graynes is a paddle steamer from 1911. The office is located in Port Ellis, at pier 14.
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "fares.md").write_text(FARES)
    stacks.stack(tmp_path, extensions=["feedback", "proposals", "redaction", "structured"])
    return tmp_path


def arguments(folder: Path, *more: str) -> list[str]:
    out, stack = str(folder / "golden.jsonl"), str(folder / "stack.toml")
    return ["golden", str(folder / "docs"), "--out", out, "--stack", stack, "--tenant", "harbour", *more]


def run(*words: str) -> str:
    done = CliRunner().invoke(main.app, list(words), env={"COLUMNS": "240"}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def at_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """The command at a terminal where these keys are pressed; the terminal is a double, click's own."""
    monkeypatch.setattr("serving.cli.terminal.is_asked", lambda: True)

    def press(keys: str) -> str:
        done = CliRunner().invoke(
            main.app, arguments(folder), input=keys, env={"COLUMNS": "240"}, catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        return done.output

    return press


def test_a_script_takes_all_and_is_told_that_nobody_read_them(folder: Path) -> None:
    assert "There is no terminal to ask you at" in run(*arguments(folder))
    assert not (folder / "golden.jsonl").exists()
    assert "nobody has reviewed these 6 cases" in run(*arguments(folder, "--yes"))
    cases = load_golden(folder / "golden.jsonl")
    assert {case.reviewed_by for case in cases} == {"nobody"}
    assert {case.kind for case in cases} == {"answerable", "unanswerable"}
    assert all(case.evidence in FARES for case in cases)

    stack = str(folder / "stack.toml")
    run("ingest", str(folder / "docs"), "--tenant", "harbour", "--stack", stack)
    said = run("evaluate", "--golden", str(folder / "golden.jsonl"), "--stack", stack, "--json", str(folder / "e.json"))
    assert "6 of 6 cases were reviewed by nobody" in said
    assert json.loads((folder / "e.json").read_text())["overall"]["passed"]["n"] == 6


def test_one_key_each_and_the_same_command_goes_on(folder: Path, at_terminal: Callable[[str], str]) -> None:
    said = at_terminal("arq")
    assert "6 of 6 proposals" in said
    (first,) = load_golden(folder / "golden.jsonl")
    assert first.reviewed_by not in ("", "nobody")
    before = (folder / "golden.jsonl").read_text()

    said = at_terminal("eIs it dear?\n14.50\nxrrr")
    assert "4 of 6 proposals" in said
    edited = load_golden(folder / "golden.jsonl")[1]
    assert (edited.question, edited.answers) == ("Is it dear?", ("14.50",))
    assert (folder / "golden.jsonl").read_text().startswith(before)
    assert "0 of 6 proposals" in at_terminal("")


def test_a_folder_of_which_nothing_can_be_asked_is_said_to_be_one(folder: Path) -> None:
    (folder / "docs" / "fares.md").write_text("Guten Tag.")
    done = CliRunner().invoke(main.app, arguments(folder))
    assert "Nothing could be proposed" in str(done.exception)
    assert not (folder / "golden.proposals.jsonl").exists()


def test_without_a_place_the_cases_go_to_the_set_of_that_corpus_and_nowhere_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (folder / "stack.toml").open("a") as stack:
        stack.write('\n[observability]\ngolden_set = "own"\n')
    (folder / "own" / "corpus").mkdir(parents=True)
    (folder / "own" / "corpus" / "fares.md").write_text(FARES)
    (elsewhere := folder / "elsewhere").mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("SIXPLY_STACK", str(folder / "stack.toml"))
    more = ("--stack", str(folder / "stack.toml"), "--yes")
    run("golden", str(folder / "own" / "corpus"), *more)
    assert len(load_golden(folder / "own" / "golden.jsonl")) == 6
    done = CliRunner().invoke(main.app, ["golden", str(folder / "docs"), *more])
    assert "Say where the questions go: OUT=folder/golden.jsonl" in str(done.exception)
    assert list(elsewhere.iterdir()) == []

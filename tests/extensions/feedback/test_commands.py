"""What became of an answer is recorded and counted on the command line, erased while it is off, and not there without it."""
# ruff: noqa: F401, F811 - a fixture of judged.py

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from extensions.feedback.store import Outcome, OutcomeStore
from foundation.errors import NotFound
from foundation.types import Principal
from observability.stores import history
from orchestration.requests import AnswerRequest
from orchestration.run import answering
from serving.cli import main
from serving.settings import load
from serving.wiring import open_system
from tests.doubles import command_line
from tests.extensions.feedback.judged import stack
from tests.integration.test_week import SECRET, run, said_in


def test_an_outcome_of_no_answer_is_not_recorded(stack: Path) -> None:
    with open_system(load(stack)) as system:
        (known,) = history.answers(system.observability.costs)
    done = CliRunner().invoke(main.app, ["outcome", known[:12], "accepted", "--stack", str(stack)])
    assert isinstance(done.exception, NotFound)
    assert f"{known} was rejected" in run("outcome", known, "rejected", "--stack", stack)


def test_what_answers_cost_is_told_by_their_outcome(stack: Path, tmp_path: Path) -> None:
    run("outcomes", "--stack", stack, "--json", tmp_path / "outcomes.json")
    told = {row["key"]: row["calls"] for row in json.loads((tmp_path / "outcomes.json").read_text())}
    assert told.keys() == {"edited"}
    assert "edited" in run("outcomes", "--stack", stack)


@pytest.mark.parametrize("on", [True, False])
def test_what_a_person_said_of_answers_is_erased_also_while_it_is_off(
    stack: Path,
    tmp_path: Path,
    on: bool,
) -> None:
    zoe = Principal("zoe", "north", frozenset({"reader"}))
    with open_system(load(stack)) as system:
        answer = asyncio.run(answering.answer(system.agent, AnswerRequest(question="Where is my lamp?"), zoe))
        said = Outcome(answer.answer_id, "rejected", datetime.now(UTC), recorded_by="zoe", note=SECRET)
        system.hooks.service(OutcomeStore).record(said)
    assert said_in(tmp_path / "var")
    if not on:
        stack.write_text(stack.read_text().replace('["feedback"]', "[]"))
    run("erase", "--stack", stack, "--tenant", "north", "--user", "zoe", "--json", tmp_path / "erased.json")
    report = json.loads((tmp_path / "erased.json").read_text())
    assert report["unclaimed"] == []
    assert {row["store"]: row["count"] for row in report["erased"]}["outcomes"] == 1
    assert said_in(tmp_path / "var") == []
    stack.write_text(stack.read_text().replace("extensions = []", 'extensions = ["feedback"]'))
    with open_system(load(stack)) as system:
        assert {one.verdict for one in system.hooks.service(OutcomeStore).all()} == {"edited", "rejected"}


def test_off_its_commands_say_how_to_turn_it_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without = command_line.runner(main.main, tmp_path, monkeypatch, capsys)
    assert "make add NAME=feedback" in without("outcomes", status=2)

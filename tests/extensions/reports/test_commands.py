"""The reports over real stores; off, none of them is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.cli.main import main
from tests.architecture.test_weight import HEAVY, imported_by
from tests.doubles import command_line, stacks


@pytest.fixture
def sixply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    return command_line.runner(main, tmp_path, monkeypatch, capsys, extensions=("reports",))


def test_what_was_asked_stands_first_among_the_latest_and_in_the_reports(
    sixply: Callable[..., Any], tmp_path: Path
) -> None:
    assert sixply("traces") == []
    folder = command_line.write_documents(tmp_path)
    sixply("ingest", str(folder / "documents"), status=1)
    answer = sixply("ask", "How long does the moon lamp run?")

    (asked, taken_in) = sixply("traces")
    assert (asked["trace_id"], asked["answer"]) == (answer["trace_id"], "answered")
    assert asked["name"].startswith("invoke_agent")
    assert taken_in["name"] == "ingest"
    assert {trace["trace_id"] for trace in sixply("slow")["traces"]} == {asked["trace_id"], taken_in["trace_id"]}
    assert sixply("failures")["answers_without_one"] == {}
    assert "no whole day of costs yet" in sixply("forecast", status=2)


@pytest.mark.parametrize("report", ["slow", "failures"])
def test_a_report_of_a_bad_day_waits_for_no_framework(report: str, tmp_path: Path) -> None:
    stack = stacks.stack(tmp_path, extensions=["reports"])
    imported = imported_by("serving.cli.main", report, "--stack", str(stack))
    assert imported & HEAVY <= {"numpy", "opentelemetry.sdk"}


@pytest.mark.parametrize("command", ["traces", "slow", "failures", "forecast"])
def test_off_its_commands_say_how_to_turn_it_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    without = command_line.runner(main, tmp_path, monkeypatch, capsys)
    assert "make add NAME=reports" in without(command, status=2)

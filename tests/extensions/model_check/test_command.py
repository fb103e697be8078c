"""`sixply model-check` over a configured model; off, it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.cli.main import main
from tests.doubles import command_line


def test_the_configured_model_is_tried_and_what_it_lacks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = command_line.runner(main, tmp_path, monkeypatch, capsys, extensions=("model_check",))("model-check")
    can = {ability["name"]: ability["can"] for ability in found["abilities"]}
    assert can["answers"]
    assert not can["calls tools"]
    assert found["line"].startswith("profile = { tool_calling = false")


def test_off_its_command_says_how_to_turn_it_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without = command_line.runner(main, tmp_path, monkeypatch, capsys)
    assert "make add NAME=model_check" in without("model-check", status=2)

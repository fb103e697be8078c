"""The page docs/learn.md shows what each program of the ladder prints; digits may differ, and `...` stands for anything."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.opened_once import models_opened_once  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "learn.md").read_text(encoding="utf-8")
OUTPUTS = dict(re.findall(r"```console\n\$ python -m examples\.(\w+)\n(.*?)```", PAGE, re.DOTALL))
PROGRAMS = {path.stem: path for path in sorted((ROOT / "examples").glob("*.py")) if path.stem != "__init__"}
# An outcomes.toml of your own has other figures than the page
OTHERWISE = set() if "fictional company" in (ROOT / "outcomes.toml").read_text(encoding="utf-8") else {"prove_value"}
SHARED = "small_system"
COMMANDS = "cli"  # the commands of the example, no program to read
WRITTEN = re.compile("the model alone|^writing:|\\(lost")
"""What stands after this depends on what a language model writes, which may differ from machine to machine."""


def missing(shown: str, printed: str) -> list[str]:
    """The lines of a page that a program does not print."""
    lines = [bare(line) for line in printed.splitlines()]
    return [line for line in shown.splitlines() if not any(pattern_of(line).fullmatch(printed) for printed in lines)]


def pattern_of(line: str) -> re.Pattern[str]:
    written = WRITTEN.search(line)
    pattern = re.escape(bare(line[: written.end()] if written else line)).replace(re.escape("..."), ".*")
    return re.compile(f"{pattern}.*" if written else pattern)


def bare(line: str) -> str:
    return re.sub(r"\d+", "0", re.sub(r" +", " ", line.rstrip()))


def test_every_program_is_short_and_stands_on_the_page() -> None:
    assert set(OUTPUTS) == set(PROGRAMS) - {SHARED, COMMANDS}
    assert [name for name, path in PROGRAMS.items() if len(path.read_text(encoding="utf-8").splitlines()) >= 80] == []


def test_a_line_that_is_not_printed_is_missed() -> None:
    assert missing("12 answers\nnothing lost", "7 answers  \nall lost") == ["nothing lost"]


@pytest.mark.slow
@pytest.mark.real_model
@pytest.mark.parametrize("name", [name for name in OUTPUTS if name not in OTHERWISE])
def test_the_program_prints_what_the_page_shows(
    name: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [name])
    import_module(f"examples.{name}").main()
    printed = capsys.readouterr().out
    assert missing(OUTPUTS[name], printed) == []
    assert len(printed.splitlines()) <= 25
    assert "One layer up" in printed.splitlines()[-1]
    assert [record.message for record in caplog.records if "make model-check" in record.message] == []


def test_a_failure_that_cannot_be_played_is_named_with_those_that_can() -> None:
    with pytest.raises(SystemExit, match=r"--bang is no failure\. There are: --provider-down"):
        import_module("examples.when_it_fails").main("--bang")

"""`sixply contracts`: a port's contract tests on the configured part, told in sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foundation.components import PORTS
from foundation.errors import InvalidRequest, MissingDependency, did_you_mean
from foundation.settings import Part, Settings
from serving import terminal

FOLDER = Path("tests/contracts")


def run(settings: Settings, port: str | None, name: str | None) -> bool:
    """Whether every promise was kept.

    Raises:
        InvalidRequest: no such port, or no contract tests here.
        MissingDependency: pytest is not installed.
    """
    if port is not None and port not in PORTS:
        raise InvalidRequest(f'No port "{port}". {did_you_mean(port, PORTS)}')
    sections = [port] if port else [known for known in PORTS if _file(known).exists()]
    files = [_file(section) for section in sections]
    if not files or not all(file.exists() for file in files):
        raise InvalidRequest(f"No contract tests in {FOLDER}. Run from the repository's root.")
    names = [name] if name else [use for section in sections for use in _used(settings, section)]
    try:
        import pytest
    except ModuleNotFoundError as error:
        raise MissingDependency("Contract tests need pytest, which is not installed. Run make setup-dev.") from error
    arguments = [*map(str, files), "-k", " or ".join(names), "--no-header", "-q", "-p", "no:randomly"]
    return pytest.main(arguments, plugins=[Sentences()]) == 0


class Sentences:
    """Prints a line a promise, and none of pytest's dots."""

    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, str] | None:
        return (report.outcome, "", "") if report.when == "call" or report.skipped else None

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when != "call" and report.passed:
            return
        marks = {"passed": "[green]kept[/]    ", "failed": "[red]broken[/]  ", "skipped": "[dim]skipped[/] "}
        test = report.nodeid.rpartition("::")[2]
        promise, _, part = test.removeprefix("test_").partition("[")
        sentence = f"{part.rstrip(']')}: {promise}".replace("_", " ")
        terminal.console().print(f"{marks[report.outcome]} {terminal.plain(sentence)}")


def _file(section: str) -> Path:
    return FOLDER / f"test_{section.rpartition('.')[2]}.py"


def _used(settings: Settings, section: str) -> list[str]:
    """The adapters that the configuration names for a port; parts from elsewhere have no contract tests here."""
    layer, _, port = section.partition(".")
    value = getattr(getattr(settings, layer), port)
    parts: tuple[Part, ...] = value if isinstance(value, tuple) else (value,)
    return [part.use for part in parts if ":" not in part.use]

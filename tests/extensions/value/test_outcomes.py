"""What became of an answer is recorded from the command line."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from foundation.errors import NotFound
from observability.stores import history
from serving.cli import main
from serving.settings import load
from serving.wiring import open_system
from tests.integration.test_week import (
    run,
    stack,  # noqa: F401 - a fixture
)


def test_an_outcome_of_no_answer_is_not_recorded(stack: Path) -> None:  # noqa: F811
    with open_system(load(stack)) as system:
        (known,) = history.answers(system.costs)
    done = CliRunner().invoke(main.app, ["outcome", known[:12], "accepted", "--stack", str(stack)])
    assert isinstance(done.exception, NotFound)
    assert f"{known} was rejected" in run("outcome", known, "rejected", "--stack", stack)

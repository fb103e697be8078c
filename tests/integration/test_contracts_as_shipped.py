"""`make contracts` on the configuration as it ships: it tests the parts of every port, and every promise is kept.

`make test` holds the same parts to the same promises in tests/contracts. What is slow there is not done twice here: LangChain's own
suites, and each promise a second time in the wrapper of its port.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from foundation.components import available
from serving.parts.ports import CONTRACTS, Port
from serving.settings import load

ROOT = Path(__file__).resolve().parents[2]
ONCE = "not traced and not TestLangChain"

pytestmark = [pytest.mark.real_model, pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def ran() -> subprocess.CompletedProcess[str]:
    """All ports in one run: a process for each would load every framework and model sixteen times."""
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    return subprocess.run(
        [sys.executable, "-m", "serving.cli", "contracts", "--json", "-"],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=1700,
        env=environment | {"PYTEST_ADDOPTS": f"-k '{ONCE}'"},
    )  # fmt: skip


@pytest.mark.parametrize("port", CONTRACTS)
def test_the_parts_of_the_stack_keep_what_they_claim(port: str, ran: subprocess.CompletedProcess[str]) -> None:
    outcomes: list[dict[str, Any]] = [
        promise for promise in json.loads(ran.stdout)["promises"] if promise["port"] == port
    ]
    assert [promise for promise in outcomes if promise["outcome"] == "broken"] == []
    assert any(promise["outcome"] == "kept" for promise in outcomes)


def test_it_ends_as_it_says(ran: subprocess.CompletedProcess[str]) -> None:
    assert ran.returncode == 0, ran.stderr[-2000:]


@pytest.mark.parametrize("port", CONTRACTS)
def test_what_is_not_done_twice_is_done_by_the_suites_themselves(port: str) -> None:
    """They run on each file of the port's folder and on what they name, with the options that it has where stack.toml says nothing."""
    suite = (ROOT / Port(port).suite).read_text(encoding="utf-8")
    parts = Port(port).configured_parts(load(ROOT / "stack.toml").settings)
    assert [part for part in parts if part.use not in available(port) and f'"{part.use}"' not in suite] == []
    assert [part for part in parts if part.options] == []

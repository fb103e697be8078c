"""`make contracts` on the configuration as it ships says what `make test` says: every promise that is claimed is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from serving.parts.ports import CONTRACTS

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.real_model, pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def ran() -> subprocess.CompletedProcess[str]:
    """All ports in one run: a process for each would load every framework and model sixteen times."""
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    return subprocess.run(
        [sys.executable, "-m", "serving.cli", "contracts", "--json", "-"],
        capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=1700,
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

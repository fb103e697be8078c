"""`make contracts` on the configuration as it ships says what `make test` says: every promise that is claimed is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.parts.ports import CONTRACTS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.real_model
@pytest.mark.slow
@pytest.mark.parametrize("port", CONTRACTS)
def test_the_parts_of_the_stack_keep_what_they_claim(port: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    ran = subprocess.run(
        [sys.executable, "-m", "serving.cli", "contracts", "--port", port, "--json", "-"],
        capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=560,
    )  # fmt: skip
    told = json.loads(ran.stdout)
    assert [promise for promise in told["promises"] if promise["outcome"] == "broken"] == []
    assert told["kept"] > 0
    assert ran.returncode == 0, ran.stderr[-2000:]

"""`make contracts` on the configuration as it ships: it tests the parts of every port, and every promise is kept.

`make test` holds the same parts to the same promises in tests/contracts. What is slow there is not done twice here: LangChain's own
suites, and each promise a second time in the wrapper of its port.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from extensions.development.ports import CONTRACTS, Port
from foundation.components import available
from serving.settings import load
from tests.contracts import under_test

ROOT = Path(__file__).resolve().parents[3]

SETTINGS = load(ROOT / "stack.toml").settings
PORTS = [port for port in CONTRACTS if available(port)]  # a project can be without all adapters of a port
SHIPPED = {port: Port(port).configured_parts(SETTINGS) for port in PORTS}
WITH_OPTIONS = [port for port in PORTS if any(part.options for part in SHIPPED[port])]
"""The suites choose options of their own, so that these run whole on those of the stack."""
ONCE = " or ".join(["not traced and not TestLangChain", *sorted({Port(port).suite.stem for port in WITH_OPTIONS})])

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


@pytest.mark.parametrize("port", PORTS)
def test_the_parts_of_the_stack_keep_what_they_claim(port: str, ran: subprocess.CompletedProcess[str]) -> None:
    outcomes: list[dict[str, Any]] = [
        promise for promise in json.loads(ran.stdout)["promises"] if promise["port"] == port
    ]
    assert [promise for promise in outcomes if promise["outcome"] == "broken"] == []
    claims_nothing = [part.use for part in SHIPPED[port]] == ["none"]
    assert any(promise["outcome"] == "kept" for promise in outcomes) is not claims_nothing


def test_it_ends_as_it_says(ran: subprocess.CompletedProcess[str]) -> None:
    assert ran.returncode == 0, ran.stderr[-2000:]


def left_out(parts: dict[str, list[dict[str, Any]]]) -> set[str]:
    """The tests of the suites that the run above leaves out, on these parts; on those that the suites choose where there are none."""
    suites = [str(Port(port).suite) for port in PORTS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-p", "no:randomly", "-p", "no:cacheprovider", "-k", f"not ({ONCE})",
         "-o", "addopts=", "--verbosity=-1", *suites],
        capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | {"CONTRACT_PARTS": json.dumps(parts)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return {
        re.sub(
            r"(::TestLangChain\w*)::\w+\[(?:.*-)?(.+)\]$", r"\1[\2]", line
        )  # a suite says itself which of these it does not run
        for line in done.stdout.splitlines()
        if "[" in line and "::" in line
    }


def test_what_is_not_done_twice_is_done_by_the_suites_themselves() -> None:
    named = {port: [part.use for part in SHIPPED[port] if part.use != "none"] for port in PORTS}
    named |= {port: [use for use in available(port) if use != "none"] for port, uses in named.items() if not uses}
    here = left_out({port: [{"use": use} for use in uses] for port, uses in named.items()})
    assert {name for name in here if "traced" in name}
    assert {name for name in here if "TestLangChain" in name}
    assert here - left_out({}) == set()


@pytest.mark.parametrize("port", PORTS)
def test_the_suites_build_the_parts_of_the_stack_as_it_says(port: str) -> None:
    """Where they give one options of their own, `make contracts` gives it the same."""
    assert port in WITH_OPTIONS or [part for part in SHIPPED[port] if under_test.part(port, part.use) != part] == []

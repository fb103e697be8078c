"""A command approves what the agent that plans asked for."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.doubles import stacks
from tests.integration.test_api_cli import sixply

__all__ = ["sixply"]


def test_an_approver_grants_less_than_was_asked_for_and_nobody_approves_their_own(
    sixply: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = tmp_path / "stack.toml"
    tools = '[[orchestration.tools]]\nuse = "tests.doubles.desk:build"\n'
    stack.write_text(
        stack.read_text()
        .replace("extensions = []", 'extensions = ["planned_agent", "structured"]')
        .replace(stacks.AGENT, stacks.GRAPH)
        + tools
        + '[orchestration.policy.roles]\nagent = ["refund"]\n'
    )
    person = ("--tenant", "alder-clinics")
    waiting = sixply("ask", "Please refund order QM-10017", "--role", "agent", *person)
    assert waiting["status"] == "waiting"
    approval = waiting["approval"]["approval_id"]
    assert "asked for this yourself" in sixply("approve", approval, *person, status=2, json_too=False)
    lead = sixply("keys", "add", "--subject", "lena", "--tenant", "alder-clinics", "--role", "approver", json_too=False)
    monkeypatch.setenv("SIXPLY_KEY", re.findall(r"sixply_\S+", lead)[0])
    assert "changes no argument" in sixply("approve", approval, *person, "--set", "12", status=2, json_too=False)
    told = sixply("approve", approval, *person, "--set", "amount_usd=12", "--set", "reason=as agreed", json_too=False)
    assert "12.00 USD" in told
    assert sixply("approvals", *person) == []

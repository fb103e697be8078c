"""The audit as an extension: on it keeps every record of a system, off its records are still read by who erases and takes out."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from extensions.audit.log import SqliteAudit
from foundation import extensions
from foundation.types import Principal
from orchestration.effects.records import Record
from orchestration.requests import AnswerRequest
from orchestration.run import answering
from serving.cli.govern import erasure
from serving.cli.main import main
from serving.cli.opening import open_hooks
from serving.hooks import Place
from serving.settings import load
from serving.wiring import open_system
from tests.doubles import command_line, stacks
from tests.doubles.serving import world

ZOE = Principal("zoe", "north", frozenset({"reader"}))
TOOLS = '[[orchestration.tools]]\nuse = "tests.doubles.desk:build"\n[orchestration.policy.roles]\nagent = ["refund"]\n'
Program = Callable[..., Any]


@pytest.fixture
def sixply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    return command_line.runner(main, tmp_path, monkeypatch, capsys, extensions=["audit"])


def turn_off(stack: Path) -> None:
    stack.write_text(stack.read_text().replace('["audit"]', "[]"), encoding="utf-8")


def test_an_answer_is_in_its_trace_and_on_the_system_card(sixply: Program, tmp_path: Path) -> None:
    folder = command_line.write_documents(tmp_path)
    sixply("ingest", str(folder / "documents"), status=1)
    answer = sixply("ask", "How long does the moon lamp run?")
    traced = sixply("trace", answer["trace_id"][:12])
    assert [(one["act"], one["outcome"]) for one in traced["audit"]] == [("answer", "answered")]
    assert "audit (UTC)" in sixply("trace", "last", json_too=False)
    with open_hooks(load(tmp_path / "stack.toml").settings) as hooks:
        (rows,) = [panel.read("") for panel in hooks.panels if panel.place is Place.SYSTEM]
    assert rows[0]["records"] == 1
    turn_off(tmp_path / "stack.toml")
    assert "audit" not in sixply("trace", "last")
    assert "make add NAME=audit" in sixply("audit-verify", status=2, json_too=False)


def test_every_call_and_decision_of_an_approval_is_in_the_chain(
    sixply: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = tmp_path / "stack.toml"
    stack.write_text(stack.read_text().replace('use = "scripted"', stacks.CLERK) + TOOLS)
    person = ("--tenant", "alder-clinics")
    approval = sixply("ask", "Please refund order QM-10017", "--role", "agent", *person)["approval"]["approval_id"]
    sixply("approve", approval, *person, status=2, json_too=False)
    lead = sixply("keys", "add", "--subject", "lena", "--tenant", "alder-clinics", "--role", "approver", json_too=False)
    monkeypatch.setenv("SIXPLY_KEY", re.findall(r"sixply_\S+", lead)[0])
    sixply("approve", approval, *person, json_too=False)
    audit = sixply("audit-verify")  # the tool twice, the refused decision, the decision, the answer twice
    assert (audit["ok"], audit["records"], audit["problems"]) == (True, 6, [])
    assert sixply("audit-verify", "--head", audit["head"])["ok"]
    assert "forged" in sixply("audit-verify", "--head", f"6:{'0' * 64}", status=1, json_too=False)


def test_turned_off_its_records_still_lead_to_what_a_person_left(tmp_path: Path) -> None:
    stack = stacks.stack(tmp_path, extensions=["audit"])
    with open_system(load(stack)) as system:
        answer = asyncio.run(answering.answer(system.agent, AnswerRequest(question="Where is my lamp?"), ZOE))
    turn_off(stack)
    (store,) = [store for store in extensions.stores() if store.name == "audit"]
    assert store.runs_of
    assert store.manifests
    assert list(store.runs_of(tmp_path / "var", ZOE)) == [(answer.answer_id, answer.trace_id)]
    assert len(store.manifests(tmp_path / "var")) == 1
    assert list(store.runs_of(tmp_path / "elsewhere", ZOE)) == []
    out = tmp_path / "erased.json"
    erasure.erase(user="zoe", tenant="north", json=out, stack=stack)
    report = json.loads(out.read_text())
    assert report["unclaimed"] == []
    assert "the chain cannot lose one" in next(row["stays"] for row in report["erased"] if row["store"] == "audit")


async def test_a_stop_is_in_the_audit_before_it_is_answered(tmp_path: Path) -> None:
    given = world(tmp_path, extensions=("audit",))
    await given.system.orchestration.recorders.record(
        act="stop", tenant="north", subject="ola", run_id="all", outcome="stopped"
    )
    ((_, record),) = await given.system.hooks.service(SqliteAudit).entries("north")
    assert isinstance(record, Record)
    assert (record.act, record.subject) == ("stop", "ola")
    assert "audit" in given.system.hooks.ready

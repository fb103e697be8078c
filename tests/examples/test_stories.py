"""The stories of docs/observability are played: each command runs as it is written, and says what the page says it says.

What a page shows of an output are lines of it; `...` stands for anything. The world of each story is made here.
"""

from __future__ import annotations

import re
import shlex
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from foundation import names
from foundation.clock import SystemClock
from foundation.types import Usage
from observability.stores.costs import CostLedger
from observability.stores.spans import COLUMNS, SCHEMA, SpanRow, values_of
from orchestration.events import Charge
from serving.cli.main import app
from tests.make_rules import to_arguments

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "observability"
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
STACK = """
extensions = ["audit", "governance", "kill_switches", "planned_agent", "plots", "reports", "structured"]
[foundation]
data_dir = "{data}"
[models.chat]
use = "scripted"
[retrieval.vectors]
use = "memory"
[orchestration]
policy_file = "policy.toml"
[orchestration.agent]
use = "auto"
without_tools = "graph"
[orchestration.answers]
evidence_documents = 200
[[orchestration.tools]]
use = "examples.support_desk.tools:build"
"""
NOW = datetime.now(UTC)
MS = 1_000_000


def commands(page: str) -> list[tuple[str, list[str]]]:
    """(command, lines that it says) in their order."""
    found: list[tuple[str, list[str]]] = []
    for block in BLOCK.findall((PAGES / page).read_text(encoding="utf-8")):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line.strip():
                found[-1][1].append(line)
    return found


def said(command: str, folder: Path) -> str:
    if command.startswith("sqlite3 "):
        _, file, query = shlex.split(command)
        with closing(sqlite3.connect(folder / file)) as database:
            return "\n".join(row[0] for row in database.execute(query))
    arguments = to_arguments(command, STACK=str(folder / "stack.toml"))
    done = CliRunner().invoke(app, arguments, catch_exceptions=False, env={"COLUMNS": "240"})
    assert done.exit_code == 0, (command, done.output)
    return done.output


def stands_in(line: str, output: str) -> bool:
    pattern = r"\s*".join(map(re.escape, line.split())).replace(re.escape("..."), ".*?")
    return re.search(pattern, output) is not None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "var").mkdir()
    (tmp_path / "stack.toml").write_text(STACK.format(data=tmp_path / "var"))
    (tmp_path / "policy.toml").write_text((ROOT / "policy.toml").read_text())
    return tmp_path


def play(page: str, folder: Path) -> None:
    played = commands(page)
    assert len(played) >= 4
    for command, lines in played:
        output = said(command, folder)
        for line in lines:
            assert stands_in(line, output), (command, line, output)


def span(trace: str, name: str, number: int, parent: int | None, *, begin: int, end: int, **more: Any) -> SpanRow:
    start = int((NOW - timedelta(hours=1)).timestamp()) * 1000 * MS
    above = None if parent is None else f"{parent:016x}"
    return SpanRow(trace, f"{number:016x}", above, name, start + begin * MS, start + end * MS, **more)


def test_a_slow_layer(folder: Path) -> None:
    rows = []
    for trace, embedding, ends in (("fa57" * 8, 50, 300), ("5105" * 8, 3500, 4200)):
        after = 200 - 50 + embedding
        rows += [
            span(trace, "POST /v1/answers", 1, None, begin=0, end=ends, layer="serving"),
            span(trace, "invoke_agent sixply", 2, 1, begin=50, end=ends - 50, layer="orchestration"),
            span(trace, "embeddings openvino", 3, 2, begin=100, end=100 + embedding, layer="models",
                 attributes={names.TEXTS: 1900 if embedding > 50 else 40}),
        ]  # fmt: skip
        if embedding > 50:
            rows.append(span(trace, "chat SmolLM2", 4, 2, begin=after, end=after + 100, layer="models"))
    with closing(sqlite3.connect(folder / "var" / "spans.sqlite")) as database, database:
        database.executescript(SCHEMA)
        marks = ", ".join("?" * len(COLUMNS))
        database.executemany(f"INSERT INTO spans ({', '.join(COLUMNS)}) VALUES ({marks})", map(values_of, rows))
    play("slow-layer.md", folder)


def charge(tenant: str, model: str, usd: str | None, days: int) -> Charge:
    return Charge(
        layer="models", kind="chat", part="openai_compatible", model=model, usage=Usage(1000, 100), seconds=1.0,
        usd=None if usd is None else Decimal(usd), basis="a double", tenant=tenant, answer_id=None, trace_id=None,
        at=NOW - timedelta(days=days),
    )  # fmt: skip


def test_a_surprise_on_the_bill(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SystemClock, "now", lambda _: NOW)  # the forecast counts whole days: midnight may pass here
    with closing(CostLedger(folder / "var" / "costs.sqlite")) as ledger:
        for one in (
            charge("north", "gpt-4o-mini", "0.05", 3),
            charge("north", "gpt-4o-mini", "0.05", 2),
            charge("south", "gpt-4o-mini", "0.02", 2),
            charge("south", "gpt-4o", "12.40", 1),
            charge("south", "brand-new-model", None, 1),
        ):
            ledger.record(one)
    rules = re.search(r"```toml\n# policy.toml\n(.*?)```", (PAGES / "cost-surprise.md").read_text(), re.DOTALL)
    assert rules
    with (folder / "policy.toml").open("a") as policy:
        policy.write(rules[1])
    play("cost-surprise.md", folder)


def test_a_question_of_governance(folder: Path) -> None:
    play("governance-question.md", folder)

"""Help must come at once: nothing heavy is imported before a command needs it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from observability.stores.costs import CostLedger
from serving.cli.main import COMMANDS
from tests.there import is_there

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {
    "chromadb", "fastapi", "langchain", "langchain_core", "langgraph", "nicegui", "numpy", "openai", "opentelemetry.sdk", "ray",
    "sentence_transformers", "starlette", "torch", "transformers", "uvicorn", "xllamacpp",
}  # fmt: skip

PROGRAM = """
import json, runpy, sys
sys.argv = ["sixply", *{arguments}]
try:
    runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code, end.code
print("\\n" + json.dumps(sorted(sys.modules)))
"""


def imported_by(module: str, *arguments: str, **environment: str) -> set[str]:
    program = PROGRAM.format(arguments=list(arguments), module=module)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=os.environ | environment, capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


THERE = {name for group in COMMANDS.values() for name, (place, _) in group.items() if is_there(place.partition(":")[0])}


@pytest.mark.parametrize("arguments", [(), *((name,) for name in ("demo", "ask", "evaluate") if name in THERE)])
def test_help_imports_nothing_heavy(arguments):
    assert imported_by("serving.cli.main", *arguments, "--help") & HEAVY == set()


def test_a_report_of_costs_waits_for_no_framework(tmp_path):
    imported = imported_by("serving.cli.main", "costs", SIXPLY__FOUNDATION__DATA_DIR=str(tmp_path))
    assert imported & HEAVY <= {"numpy", "opentelemetry.sdk"}


@pytest.mark.real_model
def test_a_question_waits_for_nothing_that_only_a_server_or_another_model_needs(tmp_path):
    written = imported_by("serving.cli.main", "ask", "How heavy?", SIXPLY__FOUNDATION__DATA_DIR=str(tmp_path))
    assert written & {
        "anthropic", "cryptography", "genai_prices", "jinja2", "langchain_openai", "mcp", "nicegui", "openai", "psycopg", "ray",
        "torch", "transformers", "uvicorn", "xllamacpp",
    } == set()  # fmt: skip
    assert not [name for name in written if name.startswith("extensions.") and name.endswith(".routes")]


def test_a_search_alone_waits_for_no_chat_model():
    program = "import json, sys, models.build, retrieval.build; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=240, check=True
    )
    assert not {"langchain_core.language_models.chat_models", "langsmith"} & {*json.loads(done.stdout.splitlines()[-1])}


def test_what_was_spent_is_summed_without_a_framework(tmp_path):
    columns = "at, tenant, layer, kind, part, model, seconds, usd, basis, answer_id"
    CostLedger(tmp_path / "costs.sqlite").close()
    with closing(sqlite3.connect(tmp_path / "costs.sqlite")) as database, database:
        database.execute(
            f"INSERT INTO charges ({columns}) VALUES ('', 't', 'models', 'chat', '', 'm', 1, '0.1', '', 'a')"
        )
    told = tmp_path / "told.json"
    imported = imported_by(
        "serving.cli.main", "costs", "--by", "model", "--json", str(told), SIXPLY__FOUNDATION__DATA_DIR=str(tmp_path)
    )
    assert [(one["key"], one["usd"]) for one in json.loads(told.read_text())] == [("m", "0.1")]
    assert imported & HEAVY <= {"numpy", "opentelemetry.sdk"}


FIRST_ANSWER = """
import asyncio, json, sys
from pathlib import Path
from foundation.types import Principal
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer
from serving.server import load_what_answers_use
from serving.settings import load
from serving.wiring import open_system
from tests.doubles.provider import FaultyProvider, ok

person = Principal("ana", "acme", frozenset({"reader"}))
with FaultyProvider(ok("A parcel may weigh 30 kilograms.")) as provider:
    chat = {"use": "openai_compatible", "model": "m", "base_url": provider.url, "profile": {"tool_calling": True}}
    settings = {"foundation": {"data_dir": sys.argv[1]}, "models": {"chat": chat}}
    with open_system(load(Path("stack.toml"), overrides=settings)) as system:
        load_what_answers_use(system)
        before = {*sys.modules}
        asyncio.run(answer(system.agent, AnswerRequest(question="How heavy may a parcel be?"), person))
        assert len(provider.requests) == 1
        print(json.dumps(sorted({name.partition(".")[0] for name in {*sys.modules} - before})))
"""


def test_the_first_answer_of_a_server_waits_for_no_library(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FIRST_ANSWER, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not {*json.loads(done.stdout.splitlines()[-1])} & {"genai_prices", "nupunkt", "markdown_it"}

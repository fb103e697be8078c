"""`make contracts` of a part at a provider's address: what it would cost is said first, and nothing is called without a yes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from extensions.development import contract_tests
from extensions.development.paid_calls import CALLS, PROMISE, describe_cost
from serving.settings import Settings
from tests.doubles.provider import FaultyProvider, ok

ROOT = Path(__file__).resolve().parents[3]
ABLE = {"tool_calling": True, "structured_output": True}
PAID: dict[str, Any] = {"use": "openai_compatible", "model": "gpt-4o-mini", "provider": "openai", "api_key": "sk-test"}


def settings(folder: Path, **models: Any) -> Settings:
    return Settings.model_validate({"foundation": {"data_dir": folder}, "models": models})


def test_the_price_comes_from_the_price_list_or_is_said_to_be_unknown(tmp_path: Path) -> None:
    said = describe_cost(settings(tmp_path), "models.chat", PAID)
    assert said.startswith("about 80 calls of gpt-4o-mini, about $0.0")
    unknown = {**PAID, "model": "my-own", "base_url": "http://127.0.0.1:9/v1"}
    assert "not known (No price is set for my-own" in describe_cost(settings(tmp_path), "models.chat", unknown)
    embedder = {"use": "openai_compatible", "model": "text-embedding-3-small", "api_key": "sk-test"}
    assert "64 calls of text-embedding-3-small, about $0.0001" in describe_cost(
        settings(tmp_path), "models.embedder", embedder
    )


def test_what_costs_nothing_is_not_asked_about(tmp_path: Path) -> None:
    free = settings(tmp_path, prices={"use": "genai", "stated": {"gpt-4o-mini": {"input": 0, "output": 0}}})
    assert describe_cost(free, "models.chat", PAID) == ""
    assert describe_cost(settings(tmp_path), "models.chat", {"use": "llama_cpp", "seed": 3}) == ""
    assert describe_cost(settings(tmp_path), "models.chat", {"use": "openai_compatible"}) == "", "on doubles"
    assert describe_cost(settings(tmp_path), "retrieval.vectors", {"use": "memory", "dsn": "x"}) == ""


@pytest.mark.parametrize("agreed", [True, False])
def test_a_person_is_asked_once_and_without_a_yes_the_part_is_not_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, agreed: bool
) -> None:
    questions: list[str] = []
    ran: list[Any] = []
    monkeypatch.setattr("serving.cli.terminal.is_asked", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda text, **_: questions.append(text) or agreed)
    monkeypatch.setattr(contract_tests, "_pytest", lambda files, *_: ran.append(files) or 0)
    contract_tests.run(settings(tmp_path, chat=PAID), "models.chat", None, json=None)
    assert (len(questions), ran) == (1, [["tests/contracts/test_chat.py"]] if agreed else [])
    assert "about 80 calls" in questions[0]
    assert ("PAID=1 makes them" in " ".join(capsys.readouterr().out.split())) is not agreed


@pytest.mark.parametrize("says_paid", [False, True])
def test_in_a_script_nothing_is_called_without_paid_and_with_it_about_as_often_as_was_said(
    tmp_path: Path, *, says_paid: bool
) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "PAID")}
    environment["SIXPLY__FOUNDATION__DATA_DIR"] = str(tmp_path)
    with FaultyProvider(ok("Hello to you there.")) as provider:
        options = json.dumps({**PAID, "base_url": f"{provider.url}/v1", "profile": ABLE})
        command = [sys.executable, "-m", "serving.cli", "contracts", "--port", "models.chat", "--name", PAID["use"]]
        done = subprocess.run(
            [*command, "--options", options, "--json", "-"],
            capture_output=True, text=True, check=False, cwd=ROOT, timeout=600, stdin=subprocess.DEVNULL,
            env=environment | ({"PAID": "1"} if says_paid else {}),
        )  # fmt: skip
        asked = len(provider.requests)
    promises = json.loads(done.stdout)["promises"]
    if says_paid:
        assert CALLS["models.chat"][0] * 0.8 <= asked <= CALLS["models.chat"][0] * 1.2
        assert len(promises) > 50
    else:
        assert (asked, [it["promise"] for it in promises], done.returncode) == (0, [PROMISE], 1)

"""An object by its JSON schema over HTTP, from the whole system; its models are doubles."""
# ruff: noqa: F401, F811 - fixtures of tests/extensions/served/test_commands.py

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from serving.access.identity import KeyStore
from serving.cli.address import find_address
from serving.settings import load
from tests.extensions.served.test_commands import Run, documents, served, sixply

COUNT = {"type": "integer", "description": "how many devices"}
SHAPE = {"type": "object", "properties": {"quantity": COUNT}, "required": ["quantity"]}


@pytest.fixture(autouse=True)
def on(monkeypatch: pytest.MonkeyPatch, sixply: Run) -> None:
    monkeypatch.setenv("SIXPLY__EXTENSIONS", '["objects", "served", "structured"]')


@pytest.mark.parametrize(
    ("text", "filled", "failure"), [("Send 12 more.", {"quantity": 12}, None), ("Send some more.", None, "model")]
)
def test_an_object_is_filled_from_a_text_or_the_reply_says_why_not(
    sixply: Run, tmp_path: Path, text: str, filled: object, failure: str | None
) -> None:
    sixply("config")
    with served(tmp_path) as keys:
        reply = ask(keys, tmp_path, {"question": "How many?", "schema": SHAPE, "text": text})
    assert (reply["object"], reply["failure"]) == (filled, failure)


def test_without_a_text_it_is_filled_from_the_documents_that_the_caller_may_read(
    sixply: Run, documents: Path, tmp_path: Path
) -> None:
    sixply("ingest", str(documents), "--tenant", "north")
    hours = {"type": "string", "description": "how many hours"}
    body = {
        "question": "How long does the moon lamp run?",
        "schema": {"type": "object", "properties": {"hours": hours}},
    }
    with served(tmp_path) as keys:
        filled = ask(keys, tmp_path, body)
        assert ask(keys, tmp_path, body, tenant="south")["object"] != filled["object"]
    assert filled["failure"] is None
    assert filled["read"] == ["hours"]
    assert [cited["uri"] for cited in filled["citations"]] == ["moon.md"]


def ask(keys: KeyStore, folder: Path, body: dict, tenant: str = "north") -> dict:
    key = keys.create(subject=f"ida of {tenant}", tenant=tenant, roles=["reader"])
    server = find_address(load(folder / "stack.toml").settings.foundation.data_dir)
    assert server is not None
    address = f"http://127.0.0.1:{server.port}"
    reply = httpx2.post(f"{address}/v1/objects", json=body, headers={"Authorization": f"Bearer {key}"}, timeout=60)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())

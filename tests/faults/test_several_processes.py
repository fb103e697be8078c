"""Several server processes over one PostgreSQL and pgvector, as workers of one service: nothing is lost between them."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from foundation.clock import SystemClock
from foundation.settings import load
from serving.identity import KeyStore
from tests import services

ROOT = Path(__file__).resolve().parents[2]
PROCESSES, EACH = 3, 6
PATIENCE_S = 120
STACK = """
[foundation]
data_dir = "{data}"
[models.chat]
use = "scripted"
[models.embedder]
use = "hashing"
[retrieval.ledger]
use = "postgres"
dsn = "{dsn}"
namespace = "workers"
[retrieval.vectors]
use = "pgvector"
dsn = "{dsn}"
namespace = "workers"
[serving.http]
port = 0
queued_writes = 64
queued_searches = 64
"""


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "stack.toml"
    path.write_text(STACK.format(data=tmp_path / "var", dsn=services.postgres()), encoding="utf-8")
    return path


@pytest.fixture
def key(stack: Path) -> str:
    settings = load(stack).settings
    settings.foundation.data_dir.mkdir()
    return KeyStore.of(settings, SystemClock()).create(subject="writer", tenant="north", roles=["agent"])


@pytest.fixture
def urls(stack: Path, key: str, tmp_path: Path) -> Iterator[list[str]]:
    logs = [(tmp_path / f"log-{number}").open("w") for number in range(PROCESSES)]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "serving.cli", "serve", "--stack", stack],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True,
        )
        for log in logs
    ]  # fmt: skip
    try:
        yield [_address(process, tmp_path / f"log-{number}") for number, process in enumerate(started)]
        for process in started:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(PATIENCE_S) for process in started] == [0] * PROCESSES
    finally:
        for process, log in zip(started, logs, strict=True):
            process.kill()
            process.communicate()
            log.close()


def _address(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if found := re.search(r"http://127\.0\.0\.1:\d+", said):
            return found[0]
    raise AssertionError(f"It did not start. {said} {log.read_text(encoding='utf-8')[-3000:]}")


def _client(url: str, key: str) -> httpx2.Client:
    return httpx2.Client(
        base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE_S, trust_env=False
    )  # fmt: skip


def _add(url: str, others: list[str], key: str, name: str) -> list[str]:
    """Where it is not found although it was acknowledged."""
    word = f"word{name}"
    text = f"# Rule {name}\n\nThis is the rule of {word}, and of nothing else."
    with _client(url, key) as client:
        added = client.post("/v1/documents", files={"file": (f"{name}.md", text.encode())})
        assert added.status_code == 201, added.text
    return [f"{name} at {other}" for other in (url, *others) if f"{name}.md" not in _found(other, key, word)]


def _found(url: str, key: str, word: str) -> list[str]:
    with _client(url, key) as client:
        found = client.post("/v1/search", json={"query": f"What is the rule of {word}?"})
        assert found.status_code == 200, found.text
        return [hit["citation"]["uri"] for hit in found.json()["hits"]]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_one_process_acknowledged_every_process_finds(urls: list[str], key: str) -> None:
    """All of them write and read at once; each document is looked for in every process as soon as it is acknowledged."""
    with ThreadPoolExecutor(2 * PROCESSES) as callers:
        lost = callers.map(
            lambda number: _add(urls[number % PROCESSES], urls, key, f"n{number}"), range(PROCESSES * EACH)
        )
        assert [where for each in lost for where in each] == []
    for url in urls:
        with _client(url, key) as client:
            ready = client.get("/health/ready")
            assert ready.status_code == 200, ready.text
            listed = client.get("/v1/documents", params={"limit": 100}).json()
        assert len(listed["documents"]) == PROCESSES * EACH
    with _client(urls[0], key) as client:
        assert client.delete("/v1/documents", params={"uri": "n0.md"}).status_code == 204
    assert all("n0.md" not in _found(url, key, "wordn0") for url in urls)

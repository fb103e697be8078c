"""Several processes over one PostgreSQL, pgvector and Redis: two workers of one server, and a server beside them. Nothing is
lost between them, and a worker that dies is replaced.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from extensions.workers.supervisor import supervise
from foundation.clock import SystemClock
from foundation.errors import ComponentError, InvalidSetting
from serving.access.identity import KeyStore
from serving.http.listening import bind
from serving.settings import HttpSettings, load
from tests import services
from tests.doubles.spans import Receiver, receiver, total

pytestmark = pytest.mark.usefixtures("restored_signals")

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS, ASKED_AGAIN, SEARCHES = 18, 4, 24
PATIENCE_S = 120
STACK = """
extensions = ["postgres", "redis", "workers"]
[foundation]
data_dir = "{data}"
[models.chat]
use = "scripted"
[models.embedder]
use = "hashing"
[retrieval.ledger]
use = "postgres"
dsn = "{dsn}"
namespace = "{own}"
[retrieval.vectors]
use = "pgvector"
dsn = "{dsn}"
namespace = "{own}"
[orchestration.checkpoints]
use = "postgres"
dsn = "{dsn}"
namespace = "{own}"
[serving.cache]
use = "redis"
url = "{redis}"
prefix = "{own}"
[serving.http]
port = 0
[[observability.exporters]]
use = "otlp"
endpoint = "{collector}"
metrics_every_s = 0.5
"""


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[str, Receiver]]:
    with receiver() as listening:
        yield listening


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, collector: tuple[str, Receiver]) -> Path:
    path = tmp_path_factory.mktemp("several") / "stack.toml"
    stores = {"dsn": services.postgres(), "redis": services.valkey(), "own": f"workers_{time.monotonic_ns()}"}
    path.write_text(STACK.format(data=path.parent / "var", collector=collector[0], **stores), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def keys(stack: Path) -> list[str]:
    """One for each test, of a tenant of its own."""
    settings = load(stack).settings
    settings.foundation.data_dir.mkdir()
    store = KeyStore.of(settings, SystemClock())
    return [store.create(subject="writer", tenant=name, roles=["operator"]) for name in ("north", "east", "south")]


@pytest.fixture
def key(keys: list[str]) -> str:
    return keys.pop()


@dataclass(frozen=True)
class Servers:
    urls: list[str]
    supervisor: psutil.Process
    """Of the first one's two workers."""

    def workers(self) -> list[int]:
        found = []
        for child in self.supervisor.children():
            with suppress(psutil.Error):  # it has just ended
                if any("spawn_main" in word for word in child.cmdline()):
                    found.append(child.pid)
        return found


@pytest.fixture(scope="module")
def servers(stack: Path, keys: list[str]) -> Iterator[Servers]:
    """Started once: to import the libraries takes five processes longer than all that they are asked."""
    logs = [(stack.parent / f"log-{number}").open("w") for number in range(2)]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "serving.cli", "serve", "--stack", stack],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "SIXPLY__WORKERS__PROCESSES": workers,
                "SIXPLY__SERVING__QUOTAS__CALLER__CONCURRENT": "1000"},
        )
        for log, workers in zip(logs, "21", strict=True)
    ]  # fmt: skip
    try:
        urls = [_address(process, stack.parent / f"log-{number}") for number, process in enumerate(started)]
        yield Servers(urls, psutil.Process(started[0].pid))
        for process in started:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(PATIENCE_S) for process in started] == [0, 0]
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


def _add(url: str, asked: list[str], key: str, name: str) -> list[str]:
    """Where it is not found although it was acknowledged."""
    word = f"word{name}"
    text = f"# Rule {name}\n\nThis is the rule of {word}, and of nothing else."
    with _client(url, key) as client:
        added = client.post("/v1/documents", files={"file": (f"{name}.md", text.encode())})
        assert added.status_code == 201, added.text
    return [f"{name} at {other}" for other in asked if f"{name}.md" not in _found(other, key, word)]


def _found(url: str, key: str, word: str) -> list[str]:
    with _client(url, key) as client:
        found = client.post("/v1/search", json={"query": f"What is the rule of {word}?"})
        assert found.status_code == 200, found.text
        return [hit["citation"]["uri"] for hit in found.json()["hits"]]


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_one_process_acknowledged_every_process_finds(servers: Servers, key: str) -> None:
    """All of them write and read at once; each document is looked for everywhere as soon as it is acknowledged. Which worker
    takes a connection is the kernel's choice, so the first address is asked several times.
    """
    asked = [*[servers.urls[0]] * ASKED_AGAIN, servers.urls[1]]
    with ThreadPoolExecutor(6) as callers:
        lost = callers.map(lambda number: _add(servers.urls[number % 2], asked, key, f"n{number}"), range(DOCUMENTS))
        assert [where for each in lost for where in each] == []
    for url in asked:
        with _client(url, key) as client:
            ready = client.get("/health/ready")
            assert ready.status_code == 200, ready.text
            listed = client.get("/v1/documents", params={"limit": 100}).json()
        assert len(listed["documents"]) == DOCUMENTS
    with _client(asked[0], key) as client:
        assert client.delete("/v1/documents", params={"uri": "n0.md"}).status_code == 204
    assert all("n0.md" not in _found(url, key, "wordn0") for url in asked)
    first, second = servers.workers()
    os.kill(first, signal.SIGKILL)
    _until(lambda: len(workers := servers.workers()) == 2 and first not in workers)
    assert second in servers.workers()
    assert all("n1.md" in _found(url, key, "wordn1") for url in asked)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_collector_counts_what_the_workers_count(servers: Servers, key: str, collector: tuple[str, Receiver]) -> None:
    """Each worker's `/metrics` has its own requests; the collector has those of all, apart by their instance."""

    def sent() -> dict[str, float]:
        processes = collector[1].metrics().items()
        return {
            name: total(one, "http.server.request.duration", **{"http.route": "/v1/search"}) for name, one in processes
        }

    before = _all_searches_shown(servers, key)
    ended = sent().keys() - before.keys()
    for number in range(SEARCHES):
        assert _found(servers.urls[number % 2], key, f"word{number}") == []
    shown = _all_searches_shown(servers, key)
    assert shown.keys() == before.keys()
    assert sum(shown.values()) - sum(before.values()) == SEARCHES
    _until(lambda: sum(count for name, count in sent().items() if name not in ended) == sum(shown.values()))
    assert {name: count for name, count in sent().items() if name not in ended} == shown


def _all_searches_shown(servers: Servers, key: str) -> dict[str, float]:
    """By `/metrics` of both workers of the first server, and of the second one."""
    shown: dict[str, float] = {}
    _until(lambda: shown.update(_searches_shown(servers.urls[0], key)) or len(shown) == 2)
    return shown | _searches_shown(servers.urls[1], key)


def _searches_shown(url: str, key: str) -> dict[str, float]:
    """By `/metrics` of the worker that a new connection reaches: its instance, and the searches that it answered."""
    with _client(url, key) as client:
        families = list(text_string_to_metric_families(client.get("/metrics").text))
    samples = [sample for family in families for sample in family.samples]
    (instance,) = [sample.labels["service_instance_id"] for sample in samples if sample.name == "target_info"]
    counts = [sample for sample in samples if sample.name == "http_server_request_duration_seconds_count"]
    return {instance: sum(sample.value for sample in counts if sample.labels["http_route"] == "/v1/search")}


async def _end_of(call: Awaitable[httpx2.Response]) -> str:
    """The status, of a stream its last event; a refusal that does not say when to come back is none."""
    reply = await call
    if reply.status_code in (429, 503):
        assert reply.headers["retry-after"], reply.text
    if reply.headers.get("content-type", "").startswith("text/event-stream"):
        return reply.text.rpartition("event: ")[2].partition("\n")[0].strip()
    return str(reply.status_code)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_crowd_at_two_workers_is_served_or_turned_away_and_loses_nothing(servers: Servers, key: str) -> None:
    """50 uploads, 100 searches and 100 streams, begun in one moment, while health is asked all the time."""
    everything = httpx2.Limits(max_connections=None)
    headers, stream = {"Authorization": f"Bearer {key}"}, {"Accept": "text/event-stream"}
    question = {"question": "What is the rule of wordcrowd0?", "compose": "extractive"}
    async with httpx2.AsyncClient(
        base_url=servers.urls[0], headers=headers, timeout=PATIENCE_S, trust_env=False, limits=everything
    ) as client:
        uploads = [
            client.post("/v1/documents", files={"file": (f"crowd{n}.md", f"The rule of wordcrowd{n}.".encode())})
            for n in range(50)
        ]
        searches = [client.post("/v1/search", json={"query": f"wordcrowd{n % 50}"}) for n in range(100)]
        streams = [client.post("/v1/answers", json=question, headers=stream) for _ in range(100)]
        crowd = asyncio.gather(*map(_end_of, [*uploads, *searches, *streams]))
        while not crowd.done():
            assert (await client.get("/health/live")).status_code == 200
            await asyncio.sleep(0.02)
        endings = await crowd
        listed = (await client.get("/v1/documents", params={"limit": 100})).json()["documents"]
    of_each = {"uploads": endings[:50], "searches": endings[50:150], "streams": endings[150:]}
    assert set(of_each["uploads"]) <= {"201", "503"}
    assert set(of_each["searches"]) <= {"200", "503"}
    assert set(of_each["streams"]) <= {"answer", "error", "503"}
    assert {"201", "200", "answer"} <= set(endings), "somebody of each is served"
    acknowledged = {f"crowd{n}.md" for n, ending in enumerate(of_each["uploads"]) if ending == "201"}
    assert acknowledged <= {document["uri"] for document in listed}
    assert len(servers.workers()) == 2
    for name in sorted(acknowledged)[:ASKED_AGAIN]:
        assert name in _found(servers.urls[1], key, f"word{name.removesuffix('.md')}")


def test_workers_over_stores_of_one_process_are_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text('extensions = ["workers"]\n[workers]\nprocesses = 2\n', encoding="utf-8")
    loaded = load(tmp_path / "stack.toml")
    with (
        socket.socket() as listening,
        pytest.raises(InvalidSetting, match=r"\[workers\] processes = 2, .*take postgres"),
    ):
        supervise(loaded, listening, lambda: None)


def test_a_worker_that_cannot_start_ends_the_server_with_its_error(
    tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    nowhere = 'dsn = "host=127.0.0.1 port=1 dbname=none connect_timeout=1"\n'
    (tmp_path / "stack.toml").write_text(
        f'extensions = ["postgres", "redis", "workers"]\n[foundation]\ndata_dir = "{tmp_path / "var"}"\n[workers]\nprocesses = 2\n[serving.cache]\nuse = "redis"\n'
        f'[models.chat]\nuse = "scripted"\n[models.embedder]\nuse = "hashing"\n'
        f'[retrieval.ledger]\nuse = "postgres"\n{nowhere}[retrieval.vectors]\nuse = "pgvector"\n{nowhere}'
        f'[orchestration.checkpoints]\nuse = "postgres"\n{nowhere}',
        encoding="utf-8",
    )
    with bind(HttpSettings(port=0)) as listening, pytest.raises(ComponentError, match="did not come up"):
        supervise(load(tmp_path / "stack.toml"), listening, lambda: None)
    assert "PostgreSQL" in capfd.readouterr().err

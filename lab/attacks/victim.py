"""A server to attack: the whole system in a process and a data folder of its own, on loopback.

Its two models are doubles (a scripted chat model and a hashing embedder) and say so; everything else is what a user runs.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil

from foundation.clock import SystemClock
from foundation.errors import ComponentError
from foundation.extensions import installed
from serving.access.identity import KeyStore
from serving.settings import load

ROOT = Path(__file__).resolve().parents[2]
START_S = 120.0
TIMEOUT_S = 60.0
STACK = """
extensions = {extensions}
[foundation]
data_dir = "{data}"
threads = 1
[models.chat]
use = "scripted"
[models.embedder]
use = "hashing"
[retrieval.vectors]
use = "memory"
[retrieval.grounding]
min_evidence = 0.0
answered_from = 0.0
[orchestration]
policy_file = "{root}/policy.toml"
[[orchestration.tools]]
use = "examples.support_desk.tools:build"
[serving.http]
port = 0
concurrent_answers = 4  # those of a model on this machine: the double computes here, too
[[observability.exporters]]
use = "sqlite"
"""
WITH_EXTENSIONS = """
[[orchestration.tools]]
use = "memory"
[orchestration.agent]
use = "auto"
without_tools = "graph"
[notifier]
url = "http://127.0.0.1:9/nobody"
secret = "a secret of these attacks alone"
"""
"""What a stack with every extension on has besides."""
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+(?=\n)")
_ORDERING = threading.Lock()


@dataclass
class Victim:
    """A running server and what an attacker needs to reach it."""

    folder: Path
    url: str
    process: psutil.Process
    keys: KeyStore
    _clients: list[httpx.Client] = field(default_factory=list)

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return self.folder / "var"

    @property
    def log(self) -> Path:
        """What the server logs: a line in JSON for each request, with its status."""
        return self.folder / "server.log"

    @property
    def stack(self) -> Path:
        """The server's stack.toml, for commands that run beside it."""
        return self.folder / "stack.toml"

    def key(self, subject: str, *roles: str, tenant: str = "alder", groups: tuple[str, ...] = ()) -> str:
        """A new API key; the server knows it at once."""
        return self.keys.create(subject=subject, tenant=tenant, roles=roles or ("reader",), groups=groups)

    def person(
        self,
        subject: str,
        *roles: str,
        tenant: str = "alder",
        groups: tuple[str, ...] = (),
        timeout_s: float = TIMEOUT_S,
    ) -> httpx.Client:
        """An HTTP client that calls as a new key of that person."""
        return self.client(self.key(subject, *roles, tenant=tenant, groups=groups), timeout_s=timeout_s)

    def client(self, key: str | None = None, *, timeout_s: float = TIMEOUT_S) -> httpx.Client:
        """An HTTP client with that API key, or with none."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        client = httpx.Client(base_url=self.url, headers=headers, timeout=timeout_s, trust_env=False)
        self._clients.append(client)
        return client

    def ask(self, client: httpx.Client, question: str, **more: Any) -> dict[str, Any]:
        """The answer to a question, quoted from the documents; `{"code": ...}` and the like where it is refused."""
        body = {"question": question, "compose": "extractive", **more}
        answer: dict[str, Any] = client.post("/v1/answers", json=body).json()
        return answer

    def upload(self, client: httpx.Client, name: str, text: str | bytes, **fields: Any) -> httpx.Response:
        """Store one document; `fields` are those of the form."""
        content = text.encode() if isinstance(text, str) else text
        return client.post("/v1/documents", files={"file": (name, content)}, data=fields)

    def rss_bytes(self) -> int:
        """Memory that the server's process holds."""
        return int(self.process.memory_info().rss)

    def cpu_s(self) -> float:
        """Processor time that the server's process has used so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    @contextmanager
    def watching_health(self) -> Iterator[Callable[[], float]]:
        """Ask `/health/live` all the time; the function gives the longest wait so far in seconds."""
        longest, done = [0.0], threading.Event()

        def watch() -> None:
            with httpx.Client(base_url=self.url, timeout=TIMEOUT_S, trust_env=False) as client:
                while not done.is_set():
                    started = time.perf_counter()
                    client.get("/health/live")
                    longest[0] = max(longest[0], time.perf_counter() - started)
                    done.wait(0.02)

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield lambda: longest[0]
        finally:
            done.set()
            thread.join(TIMEOUT_S)

    def wait_until_live(self) -> None:
        """Return when the server answers; it prints its address a moment earlier.

        Raises:
            ComponentError: it does not within `START_S` seconds.
        """
        give_up = time.monotonic() + START_S
        while time.monotonic() < give_up:
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/health/live", timeout=5, trust_env=False).status_code == httpx.codes.OK:
                    return
            time.sleep(0.05)
        raise ComponentError(f"The server at {self.url} does not answer.")

    def close(self) -> None:
        """End the server, at the latest by SIGKILL, and every client."""
        for client in self._clients:
            client.close()
        with suppress(psutil.NoSuchProcess):
            self.process.terminate()
        try:
            self.process.wait(20)
        except psutil.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def start(folder: Path, *, stack: str = "", reopen: str | None = None) -> Iterator[Victim]:
    """A server in `folder`, until the block ends.

    Args:
        stack: lines of stack.toml beside `STACK`; a section that stands in both is taken from here.
        reopen: the name of the attack whose defence the server starts without.

    Raises:
        ComponentError: it did not start; the text has the end of its log.
    """
    data = folder / "var"
    data.mkdir(parents=True, exist_ok=True)
    path = folder / "stack.toml"
    base = STACK.format(data=data, root=ROOT, extensions=json.dumps(installed())) + WITH_EXTENSIONS
    path.write_text(_merge(base, stack), encoding="utf-8")
    keys = KeyStore.of(load(path).settings, SystemClock())
    keys.create(subject="nobody", tenant="nowhere", roles=["reader"])  # a server without a key refuses to start
    victim = Victim(folder, "", psutil.Process(_fork(folder, reopen)), keys)
    try:
        victim.url = _url(victim)
        victim.wait_until_live()
        yield victim
    finally:
        victim.close()


def _fork(folder: Path, reopen: str | None) -> int:
    """The number of a new process that begins to serve."""
    nursery = _nursery()
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    with _ORDERING:
        nursery.stdin.write(json.dumps([str(folder), *([reopen] if reopen else [])]) + "\n")
        nursery.stdin.flush()
        number = nursery.stdout.readline()
    if not number:
        raise ComponentError("The process from which servers are forked has ended; its error stands above.")
    return int(number)


@cache
def _nursery() -> subprocess.Popen[str]:
    """The process from which servers are forked; it ends with this one, which closes its input."""
    nursery = subprocess.Popen(
        [*_without_superuser(), sys.executable, "-m", "lab.attacks.victim_process"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("SIXPLY_")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(nursery.communicate)
    return nursery


def _without_superuser() -> list[str]:
    """What starts a server for which the modes of files hold, also where root starts it."""
    if os.geteuid() == 0 and (program := shutil.which("setpriv")):
        return [program, "--bounding-set=-dac_override,-dac_read_search"]
    return []


def _url(victim: Victim) -> str:
    told, give_up = victim.folder / "server.out", time.monotonic() + START_S
    while victim.process.is_running() and time.monotonic() < give_up:
        if told.exists() and (address := _ADDRESS.search(told.read_text(encoding="utf-8"))):
            return address.group()
        time.sleep(0.02)
    end = victim.log.read_text(encoding="utf-8")[-2000:] if victim.log.exists() else "It has no log."
    raise ComponentError(f"The server to attack did not start: {end}")


def _merge(base: str, more: str) -> str:
    """The sections of `more` in place of those of `base` that have the same name."""
    own = {line.strip() for line in more.splitlines() if line.startswith("[")}
    kept = [section for section in re.split(r"(?m)^(?=\[)", base) if section.partition("\n")[0].strip() not in own]
    return "".join(kept) + "\n" + more

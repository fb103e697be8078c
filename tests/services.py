"""Real servers for the tests: PostgreSQL with pgvector, Chroma, Valkey or Redis, llama.cpp, each started when first
needed.

A test says `services.postgres()` and gets an address on this machine. The servers run until the test session ends, in a
temporary folder, without waiting for the disk. Where a program is missing the test is skipped with what to install; with
`CI` in the environment every skip is a failure (`demanded`), but for what the machine does not let us do (`refused`).
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pytest

from tests.contracts.under_test import NAMED

START_S = 120
PORTS_TRIED = 5
LLAMA_KEY = "sk-of-the-tests"
REFUSED = "This machine does not let us "
YOURS = "a tool of your own"  # nobody but its owner knows a valid call: a new project's CI passes before one is written down
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
_RUNNING = ExitStack()


def options(use: str, folder: Path) -> dict[str, Any]:
    """What an adapter of that name must be told to reach its server; the same for the same folder, so that a part that
    is opened again finds what it left there.
    """
    name = "t" + blake2b(str(folder).encode(), digest_size=12).hexdigest()
    match use:
        case "postgres" | "pgvector":
            return {"dsn": postgres(), "namespace": name}
        case "qdrant":
            return {"collection": name}
        case "redis":
            return {"url": valkey(), "prefix": name}
        case _:
            return {}


@cache
def postgres() -> str:
    """Connection string of a cluster of our own."""
    programs = _postgres_programs()
    folder = _folder(owner="postgres")
    as_owner = {"user": "postgres"} if os.geteuid() == 0 else {}
    made = subprocess.run(
        [programs / "initdb", "-D", folder / "data", "-U", "sixply", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"],
        capture_output=True, text=True, check=False, cwd=folder, **as_owner,
    )  # fmt: skip
    if made.returncode:
        pytest.fail(f"initdb failed: {made.stderr}", pytrace=False)
    fast = ["fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=200", "listen_addresses="]
    settings = [part for each in fast for part in ("-c", each)]
    command = [programs / "postgres", "-D", folder / "data", "-k", folder, *settings]
    started = _start(command, folder, signal.SIGINT, **as_owner)  # SIGTERM would wait for every client
    address = f"host={folder} user=sixply dbname=postgres"
    if not _came_up(started, lambda: _answers_sql(address)):
        raise _not_started("PostgreSQL", folder)
    return address


@cache
def valkey() -> str:
    """URL of a Valkey or Redis server that keeps nothing on the disk."""
    program = shutil.which("valkey-server") or shutil.which("redis-server") or _missing("valkey-server")
    folder = _folder()
    command = [program, "--port", "{port}", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    return f"redis://127.0.0.1:{_listening('Valkey', folder, command)}"


def prometheus(configuration: Path) -> str:
    """Base URL of a Prometheus with that configuration and an empty store of its own."""
    program = shutil.which("prometheus") or _missing("prometheus")
    folder = _folder()
    command = [
        program, f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    return f"http://127.0.0.1:{_listening('Prometheus', folder, command)}"


def promtool(*arguments: str | Path) -> None:
    """Fails with what promtool says."""
    program = shutil.which("promtool") or _missing("prometheus")
    told = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if told.returncode:
        pytest.fail(told.stdout + told.stderr, pytrace=False)


def convert(content: bytes, suffix: str) -> bytes:
    """Return a document as LibreOffice writes it in another format."""
    program = shutil.which("soffice") or _missing("libreoffice-writer-nogui and libreoffice-impress-nogui")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "made").write_bytes(content)
        command = [program, f"-env:UserInstallation=file://{folder}/profile", "--headless", "--convert-to", suffix]
        subprocess.run([*command, "--outdir", folder, f"{folder}/made"], check=True, capture_output=True, timeout=120)
        return Path(folder, f"made.{suffix}").read_bytes()


@cache
def llama() -> str:
    """Address of a llama.cpp server in a process of its own, with the bundled model. It answers OpenAI's chat and
    embeddings (mean of the token vectors: real, if poor) and Anthropic's messages; the key is `LLAMA_KEY`.
    """
    folder = _folder()
    told = folder / "address"
    command = [sys.executable, "-m", "tests.doubles.llama_server", told, LLAMA_KEY]
    if not _came_up(_start(command, folder, cwd=Path(__file__).parents[1]), told.exists):
        raise _not_started("llama.cpp", folder)
    return told.read_text(encoding="ascii")


def chromium() -> str:
    """The browser for Playwright, which would otherwise fetch one of its own."""
    return str(shutil.which("chromium") or _missing("chromium"))


def stop() -> None:
    """End every server that was started here."""
    _RUNNING.close()
    for started in (postgres, valkey, llama):
        started.cache_clear()


def refused(what: str) -> NoReturn:
    """Skip a test that needs a right which this machine gives nobody: not even on CI is there anything to install."""
    pytest.skip(f"{REFUSED}{what}")


def demanded(report: Report) -> Report:
    """The report as CI has it: a test that did not run has failed."""
    if os.environ.get("CI") and not NAMED and report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if REFUSED not in reason and YOURS not in reason:
            report.outcome, report.longrepr = "failed", f"CI allows no skip. {reason.removeprefix('Skipped: ')}"
    return report


def _missing(package: str) -> NoReturn:
    pytest.skip(f"needs a program that is not installed. On Debian: apt-get install {package}")


def _postgres_programs() -> Path:
    """The newest PostgreSQL here that has pgvector."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_config"), reverse=True)
    for config in [*found, *filter(None, [shutil.which("pg_config")])]:
        told = subprocess.run([config, "--bindir", "--sharedir"], capture_output=True, text=True, check=True).stdout
        programs, shared = map(Path, told.splitlines())
        if (shared / "extension" / "vector.control").exists() and (programs / "initdb").exists():
            return programs
    _missing("postgresql-17 postgresql-17-pgvector")


def _folder(*, owner: str | None = None) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="sixply-"))
    _RUNNING.callback(shutil.rmtree, folder, ignore_errors=True)
    if owner and os.geteuid() == 0:  # PostgreSQL refuses to run as root
        os.chown(folder, pwd.getpwnam(owner).pw_uid, -1)
    return folder


def _listening(what: str, folder: Path, command: list[Any], **given: Any) -> int:
    """The port of a server that is started with it in place of {port}. Somebody else may take a port between our choice
    and the server's start, which then ends; it gets another one.
    """
    for _ in range(PORTS_TRIED):
        port = _free_port()
        started = _start([str(word).replace("{port}", str(port)) for word in command], folder, **given)
        if _came_up(started, lambda port=port: _answers(port)):
            return port
    raise _not_started(what, folder)


def _start(
    command: list[Any], folder: Path, how_to_end: signal.Signals = signal.SIGTERM, **given: Any
) -> subprocess.Popen[bytes]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **{"cwd": folder} | given)
    _RUNNING.callback(_end, process, how_to_end)
    return process


def _end(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    process.send_signal(how)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _came_up(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> bool:
    give_up = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < give_up:
        if ready():
            return process.poll() is None
        time.sleep(0.05)
    return False


def _not_started(what: str, folder: Path) -> BaseException:
    log = (folder / "log").read_text(errors="replace")
    return pytest.fail.Exception(f"{what} did not start: {log[-2000:]}", pytrace=False)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _answers_sql(address: str) -> bool:
    psycopg = pytest.importorskip("psycopg")
    try:
        psycopg.connect(address, connect_timeout=1).close()
    except psycopg.OperationalError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

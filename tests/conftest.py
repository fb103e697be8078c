"""What every test shares: no network outside loopback, no hub, nothing from the developer's own environment; and on CI no
skipped test.
"""

from __future__ import annotations

import gc
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any

import psutil
import pytest
from hypothesis import settings

from foundation.machine import process
from foundation.machine.process import STOP
from tests import services
from tests.contracts.under_test import NAMED
from tests.doubles import opened
from tests.there import is_there

COLOURS = ("FORCE_COLOR", "CLICOLOR_FORCE", "PY_COLORS", "TTY_COMPATIBLE", "GITHUB_ACTIONS")
"""Each of them has terminals painted that are none."""
MAKE = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")
"""What `make test ARGS=...` hands on to every `make` that a test starts, as if it had been said to that one too."""
WORKER = "PYTEST_XDIST_"
"""What begins so tells one of several processes its number, and any pytest that a test starts that it is one too."""
OPEN_FILES = 4096
"""Some systems let a process have no more than 256 until it asks."""
MEMORY = Path("/dev/shm")
"""A file system in memory, on Linux."""
ROOM = 4_000_000_000
"""Bytes that must be free there. In a container without more, often 64 MB are, and the tests write where they always did."""


def _takes_programs_and_room(folder: Path) -> bool:
    return folder.is_dir() and not os.statvfs(folder).f_flag & os.ST_NOEXEC and shutil.disk_usage(folder).free > ROOM


for name in [name for name in os.environ if name.startswith(("SIXPLY_", WORKER)) or name in (*COLOURS, *MAKE)]:
    del os.environ[name]
os.environ |= {
    "ANONYMIZED_TELEMETRY": "False",
    "COLUMNS": "80",
    "HF_HUB_OFFLINE": "1",
    "LANGSMITH_TRACING": "false",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads of torch that wait for each other do not burn a core that another test could use
    "NO_PROXY": "127.0.0.1,::1,localhost",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_OFFLINE": "1",
}

# Who starts the tests with nohup has signals ignored, in every process that a test starts, too.
for number in STOP:
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

# Images of containers often forbid bytecode, and then each of some hundred processes compiles the whole tree again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Each commit of a store waits for the disk, and that is most of what many tests take, so they write into memory.
if "TMPDIR" not in os.environ and _takes_programs_and_room(MEMORY):
    os.environ["TMPDIR"], tempfile.tempdir = str(MEMORY), None  # the latter is what was found before

process.keep_what_is_imported()  # as every command does: there are 800,000 objects once all libraries are loaded

# A slow machine is no failure; and a failure is printed so that it can be repeated elsewhere. CI tries the same examples
# each time, as it takes the same order; see .ci/run.
settings.register_profile("sixply", deadline=None, print_blob=True, derandomize="CI" in os.environ)
settings.load_profile("sixply")

_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
if _soft != resource.RLIM_INFINITY and _soft < OPEN_FILES:
    _most = OPEN_FILES if _hard == resource.RLIM_INFINITY else min(OPEN_FILES, _hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_most, _hard))

AT_ONCE = 4
"""Processes at most."""
EACH = 2_000_000_000
"""Bytes for one: it loads the models (1.2 GB) and starts the servers that its tests want."""

ROOT = Path(__file__).parents[1]
MADE = "\n[tool.sixply]" in ROOT.joinpath("pyproject.toml").read_text(encoding="utf-8")


LOOPBACK = {"127.0.0.1", "::1", "localhost", "0.0.0.0", "::", None, ""}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Suites from outside skip what a part does not claim, while they run. A class of ours that takes one over says in
    `not_run` which of its tests those are, reason by reason, and in `not_claimed_by` adapter by adapter; they are left out
    instead. A part that `sixply contracts` puts to the suites has claims of its own: nothing is left out for it.

    A test that `needs` a module that can be missing goes with it, and so does one on adapters of which this tree has none.

    Files with slow tests come first, and those that say so: of several processes, none is left alone with one of them at the end.
    """
    early = {item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("early")}
    items.sort(key=lambda item: item.path not in early)
    gone = {item for item in items if not all(map(is_there, _needs(item)))}
    if not NAMED:
        gone |= {
            item for item in items if item.name.endswith("[NOTSET]")
        }  # pytest's name for an empty list of parameters
        gone |= {item for item in items if item.name.partition("[")[0] in _left_out(item)}
    config.hook.pytest_deselected(items=[item for item in items if item in gone])
    items[:] = [item for item in items if item not in gone]


def pytest_collection_finish() -> None:
    """Modules and tests stay until the end: no later collection of garbage has to look at a million objects of theirs."""
    gc.freeze()


def _needs(item: pytest.Item) -> list[str]:
    """The modules that a test says it needs, or the promise that it is about."""
    values = getattr(getattr(item, "callspec", None), "params", {}).values()
    promises = [value for value in values if isinstance(value, FunctionType | type)]
    marks = [*item.iter_markers("needs"), *(mark for each in promises for mark in getattr(each, "pytestmark", ()))]
    return [module for mark in marks if mark.name == "needs" for module in mark.args]


def _left_out(item: pytest.Item) -> set[str]:
    suite = getattr(item, "cls", None)
    adapter = getattr(getattr(item, "callspec", None), "params", {}).get("adapter")
    unclaimed: Mapping[str, Sequence[str]] = getattr(suite, "not_claimed_by", {})
    return _not_run(suite) | set(unclaimed.get(adapter, ()))


def _not_run(suite: type | None) -> set[str]:
    reasons: Mapping[str, Sequence[str]] = getattr(suite, "not_run", {})
    names = {name for each in reasons.values() for name in each}
    if unknown := [name for name in names if not hasattr(suite, name)]:
        raise pytest.UsageError(f"{suite}.not_run names tests that it does not have: {', '.join(sorted(unknown))}")
    return names


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """More than there are cores: much of what a test takes is waiting for servers, processes and limits that must elapse."""
    return max(1, min(2 * (os.cpu_count() or 1), AT_ONCE, psutil.virtual_memory().available // EACH))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return services.demanded((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return services.demanded((yield))


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """An empty data folder, removed after the test."""
    folder = tmp_path / "var"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True, scope="module")
def _worlds_of_a_module_end() -> Iterator[None]:
    # else what one filters of the log is left out of what later modules look at
    with opened.closed_after():
        yield


@pytest.fixture(autouse=True)
def _worlds_end() -> Iterator[None]:
    with opened.closed_after():
        yield


@pytest.fixture(autouse=True, scope="session")
def _servers_end() -> Iterator[None]:
    yield
    services.stop()


@pytest.fixture(autouse=True, scope="session")
def _no_name_lookups() -> Iterator[None]:
    """Connections are blocked by pytest-socket. Name lookups are not, and would ask a server outside."""
    real = socket.getaddrinfo

    def guarded(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in LOOPBACK:
            raise socket.gaierror(socket.EAI_NONAME, f'the lookup of "{name}" is blocked in tests')
        return real(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", guarded)
        yield


@pytest.fixture
def restored_signals() -> Iterator[None]:
    """Puts back what the test changes of the signals that stop a process."""
    before = {number: signal.getsignal(number) for number in STOP}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup, which may have started the tests, holds it off
    yield
    for number, handler in before.items():
        signal.signal(number, handler)

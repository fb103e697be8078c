"""A sandbox for parsers: a child process with limits turns bytes of unknown origin into structured text.

A parser is the first code that touches a stranger's file. The child has limits on memory, processor time and wall time,
may write no file, and has none of our keys and passwords; it answers in JSON, never in pickle, so that a hijacked
parser cannot run code here. A child that is killed, dies or has grown too large is replaced at the next document.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import DocumentRefused, MissingDependency
from retrieval.documents import PAGE_CHARACTERS, Parsed, ParseLimits
from retrieval.ingest.parsing import CORE, NeedsRoom, check_offer, parse_here, translate_failures
from retrieval.tables import row_codec

if TYPE_CHECKING:  # settings bring pydantic, which the child does not need and should not wait for
    from retrieval.settings import ParsingSettings

# Memory of the child, about 60 MB of it for its libraries; half of it grown, it is replaced
MEMORY_MB = 512
# Environment variables that the child inherits: enough to find Python and its libraries
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")


class ParserPool:
    """Parses documents, one at a time, in a child process. Safe to share between threads."""

    def __init__(self, settings: ParsingSettings, limits: ParseLimits = CORE) -> None:
        """`limits` name the parsers; what they allow is as the settings say."""
        self._settings, pages = settings, settings.max_pages
        self._limits = replace(
            limits, pages=pages, characters=PAGE_CHARACTERS * pages, memory_mb=MEMORY_MB, writes_mb=0
        )
        self._roomier: dict[tuple[int, float, int], ParserPool] = {}
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def parse(self, content: bytes, name: str) -> Parsed:
        """Parse `content` by the suffix of `name`. Raises DocumentRefused, after which the next call works;
        MissingDependency: the parser's package is not installed.
        """
        name = check_offer(content, name, self._settings.max_bytes, self._limits)
        with self._lock:
            answer = self._ask(content, name)
            if answer.pop("worn", False):
                self._end_child()
        if "room" in answer:
            return self._pool_with(*answer["room"]).parse(content, name)
        if "refused" in answer:
            raise DocumentRefused(answer["message"], reason=answer["refused"])
        if "missing" in answer:
            raise MissingDependency(answer["missing"])
        return row_codec.read_parsed(answer["text"], answer["outline"], answer["parsers"])

    def _pool_with(self, memory_mb: int, seconds: float, writes_mb: int) -> ParserPool:
        """Return the pool of documents that need this, so that the others' process stays as small and as bound as ever."""
        needed = (memory_mb, seconds, writes_mb)
        with self._lock:
            if needed not in self._roomier:
                longer = self._settings.model_copy(update={"timeout_s": self._settings.timeout_s + seconds})
                # a mail may hold files with both needs
                memory_mb, writes_mb = max(memory_mb, self._limits.memory_mb), max(writes_mb, self._limits.writes_mb)
                self._roomier[needed] = roomier = ParserPool(longer)
                roomier._limits = replace(self._limits, memory_mb=memory_mb, writes_mb=writes_mb)
            return self._roomier[needed]

    @property
    def pid(self) -> int | None:
        """Process id of the child, to watch its usage; `None` while there is none."""
        child = self._child
        return child.pid if child is not None else None

    def close(self) -> None:
        """End the child. A later `parse` starts another one."""
        for pool in self._roomier.values():
            pool.close()
        with self._lock:
            self._end_child()

    def _ask(self, content: bytes, name: str) -> dict[str, Any]:
        if self._child is not None and self._child.poll() is not None:
            self._end_child()
        child = self._child = self._child or _start(self._limits)
        timed_out = threading.Event()

        def kill() -> None:
            timed_out.set()
            child.kill()

        timer = threading.Timer(self._settings.timeout_s, kill)
        timer.daemon = True
        timer.start()
        try:
            return _exchange(child, content, name, self._limits, self._settings.timeout_s)
        except (OSError, EOFError, ValueError) as error:
            if not isinstance(error, ValueError):  # it closed its pipe: get its exit code before we kill it
                with suppress(subprocess.TimeoutExpired):
                    child.wait(timeout=1)
            self._end_child()
            if timed_out.is_set():
                raise DocumentRefused(
                    f'"{name}" took longer than {self._settings.timeout_s:g} s to parse and was given up. Try again '
                    f"if this machine was busy; else simplify or split it, or raise retrieval.parsing.timeout_s.",
                    reason="timeout",
                ) from error
            raise DocumentRefused(
                f'"{name}" made its parser crash (exit {child.returncode}). Try again: the system may have ended it for '
                f"lack of memory. Else save it anew with another program.",
                reason="crashed",
            ) from error
        except BaseException:
            self._end_child()  # interrupted, say: its answer would otherwise be taken for the next document's
            raise
        finally:
            timer.cancel()
            if timed_out.is_set():
                self._end_child()  # also where the answer came just before the time was up

    def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            with suppress(BrokenPipeError):  # the child is dead, so unsent data do not matter
                pipe and pipe.close()


def child_environment() -> dict[str, str]:
    """Return the environment of a process that reads a stranger's file: it has none of our keys and passwords."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    # One thread for linear algebra: each one reserves address space, which is what the memory cap counts.
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**passed_on, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def restrict(memory_mb: int, writes_mb: int = 0) -> None:
    """Limit, for good, what this process may take, and the size of a file that it may write."""
    _cap("RLIMIT_AS", memory_mb << 20)
    # A hijacked parser can write no files, where its format needs none
    _cap("RLIMIT_FSIZE", writes_mb << 20)
    _cap("RLIMIT_CORE", 0)


def _start(limits: ParseLimits) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "retrieval.ingest.sandbox", str(limits.memory_mb), str(limits.writes_mb)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # libraries chatter about damaged files; what matters comes back as a reason
        env=child_environment(),
        start_new_session=True,  # Ctrl-C is for us; we end the child in order
    )


def _exchange(
    child: subprocess.Popen[bytes], content: bytes, name: str, limits: ParseLimits, timeout_s: float
) -> dict[str, Any]:
    assert child.stdin is not None
    assert child.stdout is not None
    request = {"name": name, "limits": asdict(limits), "bytes": len(content), "timeout_s": timeout_s}
    child.stdin.write(json.dumps(request).encode() + b"\n" + content)
    child.stdin.flush()
    line = child.stdout.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    return dict(json.loads(line))


def _serve(memory_mb: int, writes_mb: int = 0) -> None:
    source, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Prints of libraries must not mix with our answers
    os.dup2(2, 1)
    restrict(memory_mb, writes_mb)
    while line := source.readline():
        request = json.loads(line)
        # The parent's timer does not outlive the parent: this ends a busy child that was left behind
        used = os.times()
        _cap("RLIMIT_CPU", int(used.user + used.system + request["timeout_s"]) + 2, for_good=False)
        limits = ParseLimits(**request["limits"] | {"parsers": tuple(request["limits"]["parsers"])})
        answer = _answer(source.read(request["bytes"]), request["name"], limits)
        worn = _address_space_mb() > memory_mb / 2
        answers.write(json.dumps(answer | {"worn": worn}).encode() + b"\n")
        answers.flush()


def _answer(content: bytes, name: str, limits: ParseLimits) -> dict[str, Any]:
    try:
        with translate_failures(name):
            parsed = parse_here(content, name, limits)
    except DocumentRefused as error:
        return {"refused": error.reason, "message": str(error)}
    except NeedsRoom as error:
        return {"room": error.room}
    except MissingDependency as error:
        return {"missing": str(error)}
    return {"text": parsed.text, "outline": row_codec.outline(parsed), "parsers": parsed.parsers}


def _cap(name: str, most: int, *, for_good: bool = True) -> None:
    # macOS refuses some; limits of time and size still hold there
    with suppress(ValueError, OSError):
        limit = getattr(resource, name)
        resource.setrlimit(limit, (most, most if for_good else resource.getrlimit(limit)[1]))


def _address_space_mb() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return 0.0  # only Linux tells, and only there the cap is on address space
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


if __name__ == "__main__":
    _serve(*map(int, sys.argv[1:]))

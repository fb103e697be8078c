"""Disks that take no more, and folders that may not be written. A server that may write no file beyond a few bytes has a disk
whose quota is used up; one whose data folder it may not change has a disk that is mounted read-only.
"""

from __future__ import annotations

import errno
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx2 as httpx

from lab.attacks.contract import Attack, Tried
from lab.attacks.victim import Victim

PATIENCE_S = 60.0


def stop_without_room(victim: Victim) -> Tried:
    """Throw switches while nothing can be written, ask as a stopped tenant, and look again when there is room."""
    tried = Tried()
    operator, reader = victim.person("ola", "operator"), victim.person("rita", tenant="disk-stopped")
    writer = victim.person("will", "agent", tenant="disk-writer")
    with _no_room(victim):
        for switch in ("tenant:disk-stopped", "model:disk-model"):
            reply = operator.put(f"/v1/stops/{switch}", json={"reason": "a leak"})
            fits = reply.status_code == httpx.codes.OK or reply.json().get("code") == "storage_full"
            tried.check(held=fits, otherwise=f"stopping {switch} was {reply.status_code}: {reply.text[:200]}")
        refused = reader.get("/v1/documents")
        tried.check(held=refused.status_code == 503, otherwise=f"a stopped tenant was served: {refused.status_code}")
        job = writer.post("/v1/jobs/ingest", files=[("files", ("a.md", b"Rule one."))])
        tried.check(held=job.status_code == 503, otherwise=f"a job was {job.status_code}: {job.text[:200]}")
        told = [reply.text for reply in (job, writer.post("/v1/jobs/answers", json={"questions": [{"question": "x"}]}))]
        paths = [text for text in told if str(victim.folder) in text or "sqlite" in text.casefold()]
        tried.check(held=not paths, otherwise=f"a caller was told of files: {paths[:1]}")
    folders = [path.name for path in (victim.data / "jobs").iterdir() if path.is_dir()]
    tried.check(held=not folders, otherwise=f"a job that was not taken in left {folders}")
    written = _is_written(victim, "disk-model") and _is_written(victim, "disk-stopped")
    tried.check(held=written, otherwise="a stop was not written when there was room again")
    with suppress(httpx.HTTPError):
        operator.delete("/v1/stops/tenant:disk-stopped")
    return tried


def stop_without_right(victim: Victim) -> Tried:
    """Throw switches while the data folder may not be written, ask as a stopped tenant, and look again when it may."""
    tried = Tried()
    operator, reader = victim.person("ola", "operator"), victim.person("rita", tenant="read-only-stopped")
    with _read_only(victim):
        for switch in ("tenant:read-only-stopped", "model:read-only-model"):
            reply = operator.put(f"/v1/stops/{switch}", json={"reason": "a leak"})
            problem = reply.json()
            clear = problem.get("code") == "store_unavailable" and "writable" in problem["detail"]
            tried.check(held=clear, otherwise=f"stopping {switch} was {reply.status_code}: {reply.text[:300]}")
        refused = reader.get("/v1/documents")
        tried.check(held=refused.status_code == 503, otherwise=f"a stopped tenant was served: {refused.status_code}")
    tried.check(held=_is_written(victim, "read-only-model"), otherwise="a stop was not written when it could be again")
    return tried


def _is_written(victim: Victim, name: str) -> bool:
    """Whether the file of switches has that name within a minute."""
    give_up = time.monotonic() + PATIENCE_S
    while (
        not (found := name in (victim.data / "stops.json").read_text(encoding="utf-8")) and time.monotonic() < give_up
    ):
        time.sleep(0.1)
    return found


@contextmanager
def _read_only(victim: Victim) -> Iterator[None]:
    before = victim.data.stat().st_mode
    victim.data.chmod(0o500)
    try:
        yield
    finally:
        victim.data.chmod(before)


@contextmanager
def _no_room(victim: Victim) -> Iterator[None]:
    before = resource.prlimit(victim.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(victim.process.pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(victim.process.pid, resource.RLIMIT_FSIZE, before)


def reopen_memory() -> None:
    """A stop counts only once it is in the file, and what the disk says is nobody's business."""
    from extensions.kill_switches.stops import Stops

    def add(*_: object, **__: object) -> object:
        raise OSError(errno.ENOSPC, "No space left on device")

    Stops.add = Stops.hold = add  # type: ignore[method-assign,assignment]


def reopen_causes() -> None:
    """Whatever keeps a file from being written is taken for a full disk."""
    from foundation.stores import full_disk

    full_disk.NO_ROOM = frozenset(errno.errorcode)


ATTACKS = (
    Attack(
        name="disk-read-only-stop",
        title="whoever stops the system on a read-only disk is not told what keeps the stop from lasting",
        run=stop_without_right,
        reopen=reopen_causes,
        alone=True,
    ),
    Attack(
        name="disk-full-stop",
        title="nobody can stop the system because its disk is full",
        run=stop_without_room,
        reopen=reopen_memory,
        alone=True,
    ),
)

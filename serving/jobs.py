"""Work that a caller does not wait for: documents to take in, questions to answer.

A job is on the disk before it is acknowledged, item by item with what came of it, so it survives the process: the next one
on the same data folder goes on with the first item that is not done. Jobs take at most half of the places, so that people
who wait for an answer come first.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from foundation.clock import Clock
from foundation.errors import DocumentRefused, NotFound, Overloaded, ShuttingDown, SixplyError
from foundation.types import Principal
from orchestration.sqlite_file import SqliteFile
from serving.admission import Admission, Work
from serving.lifecycle import Lifecycle
from serving.streams import explained
from serving.workers import this_worker, worker_lives

log = logging.getLogger("sixply.serving")

Kind = Literal["ingest", "answers"]
Status = Literal["running", "done", "cancelled"]
ItemStatus = Literal["waiting", "done", "failed"]

KEPT = timedelta(days=7)
AT_ONCE = 2
"""Jobs that one process works on; the others wait."""
PLACE_AGAIN_S = 0.2

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    job_id    TEXT PRIMARY KEY,
    kind      TEXT NOT NULL,
    tenant    TEXT NOT NULL,
    subject   TEXT NOT NULL,
    principal TEXT NOT NULL,
    status    TEXT NOT NULL,
    begun_at  TEXT NOT NULL,
    worker    TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS items (
    job_id  TEXT NOT NULL,
    number  INTEGER NOT NULL,
    name    TEXT NOT NULL,
    given   TEXT NOT NULL,
    status  TEXT NOT NULL,
    outcome TEXT,
    PRIMARY KEY (job_id, number)
) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Job:
    """Where a job stands."""

    job_id: str
    kind: Kind
    status: Status
    begun_at: datetime
    total: int
    done: int
    failed: int
    principal: Principal


@dataclass(frozen=True, slots=True)
class JobItem:
    """One piece of a job. `given` is what it needs, `outcome` what came of it: a document or an answer, or a problem."""

    number: int
    name: str
    given: Mapping[str, Any]
    status: ItemStatus
    outcome: Mapping[str, Any] | None


Do = Callable[[JobItem, Principal, Path], Awaitable[Mapping[str, Any]]]
"""Does one item; the folder holds the job's files."""


class JobStore:
    """Jobs and their items in one SQLite file, their files in folders beside it."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._clock = clock
        self._file = SqliteFile(folder / "jobs.sqlite", SCHEMA)

    def new_id(self) -> str:
        return uuid4().hex

    def files(self, job_id: str) -> Path:
        return self._folder / job_id

    async def add(
        self, kind: Kind, caller: Principal, items: Sequence[tuple[str, Mapping[str, Any]]], files: Mapping[str, bytes]
    ) -> Job:
        """Store a job and its files; when this returns, both are on the disk."""
        job_id = self.new_id()
        await asyncio.to_thread(_write, self.files(job_id), files)
        principal = json.dumps([caller.subject, caller.tenant, sorted(caller.roles), sorted(caller.groups)])
        row = (job_id, kind, caller.tenant, caller.subject, principal, "running", self._clock.now().isoformat())
        rows = [(job_id, number, name, json.dumps(given), "waiting") for number, (name, given) in enumerate(items, 1)]

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, this_worker()))
            connection.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?, NULL)", rows)

        await self._file.run(insert)
        return await self.get(job_id, caller)

    async def get(self, job_id: str, caller: Principal) -> Job:
        """Raises:
        NotFound: no such job of the caller's.
        """
        found = await self._jobs("job_id = ? AND tenant = ? AND subject = ?", job_id, caller.tenant, caller.subject)
        if not found:
            raise NotFound(f'No job "{job_id}" of yours. GET /v1/jobs lists them; they are kept for {KEPT.days} days.')
        return found[0]

    async def all(self, caller: Principal) -> list[Job]:
        return await self._jobs("tenant = ? AND subject = ?", caller.tenant, caller.subject)

    async def items(self, job_id: str, *, waiting: bool = False) -> list[JobItem]:
        def read(connection: sqlite3.Connection) -> list[JobItem]:
            rows = connection.execute("SELECT * FROM items WHERE job_id = ? ORDER BY number", (job_id,))
            return [_item(row) for row in rows if not waiting or row["status"] == "waiting"]

        return await self._file.run(read)

    async def settle(self, job_id: str, number: int, status: ItemStatus, outcome: Mapping[str, Any]) -> None:
        values = (status, json.dumps(outcome), job_id, number)
        statement = "UPDATE items SET status = ?, outcome = ?, given = '{}' WHERE job_id = ? AND number = ?"
        await self._file.run(lambda connection: connection.execute(statement, values))

    async def end(self, job_id: str, status: Status) -> None:
        """Unless it has ended already. Its files are gone afterwards."""
        statement = "UPDATE jobs SET status = ? WHERE job_id = ? AND status = 'running'"
        await self._file.run(lambda connection: connection.execute(statement, (status, job_id)))
        await asyncio.to_thread(shutil.rmtree, self.files(job_id), ignore_errors=True)

    async def adopt(self) -> list[Job]:
        """The running jobs of processes that are gone; they are this one's now. Forgets jobs that are old."""
        until = (self._clock.now() - KEPT).isoformat()

        def take(connection: sqlite3.Connection) -> list[str]:
            old = "SELECT job_id FROM jobs WHERE begun_at < ? AND status != 'running'"
            connection.execute(f"DELETE FROM items WHERE job_id IN ({old})", (until,))  # noqa: S608 - own words
            connection.execute("DELETE FROM jobs WHERE begun_at < ? AND status != 'running'", (until,))
            rows = connection.execute("SELECT job_id, worker FROM jobs WHERE status = 'running'").fetchall()
            left = [row["job_id"] for row in rows if not worker_lives(row["worker"])]
            connection.executemany(
                "UPDATE jobs SET worker = ? WHERE job_id = ?", [(this_worker(), one) for one in left]
            )
            return left

        return [job for job_id in await self._file.run(take) for job in await self._jobs("job_id = ?", job_id)]

    def close(self) -> None:
        self._file.close()

    async def _jobs(self, condition: str, *values: str) -> list[Job]:
        statement = (
            "SELECT jobs.*, count(number) AS total, total(items.status = 'done') AS done, "  # noqa: S608 - own words
            "total(items.status = 'failed') AS failed FROM jobs LEFT JOIN items USING (job_id) "
            f"WHERE {condition} GROUP BY job_id ORDER BY begun_at"
        )
        return await self._file.run(lambda connection: [_job(row) for row in connection.execute(statement, values)])


class Jobs:
    """Works on the jobs of this process. Belongs to the event loop that serves."""

    def __init__(
        self,
        store: JobStore,
        do: Mapping[Kind, tuple[Work, Do]],
        admission: Mapping[Work, Admission],
        lifecycle: Lifecycle,
    ) -> None:
        self.store = store
        self._do, self._admission, self._lifecycle = do, admission, lifecycle
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._items: dict[str, asyncio.Future[Any]] = {}
        self._cancelled: set[str] = set()
        self._closing = False

    async def begin(
        self,
        kind: Kind,
        caller: Principal,
        items: Sequence[tuple[str, Mapping[str, Any]]],
        files: Mapping[str, bytes] | None = None,
    ) -> Job:
        self._lifecycle.refuse_while_draining()
        job = await self.store.add(kind, caller, items, files or {})
        self._work_on(job)
        return job

    async def cancel(self, job_id: str, caller: Principal) -> Job:
        """Nothing of it is begun any more. A document that is being taken in is finished, an answer is broken off. One that
        has ended stays as it is.

        Raises:
            NotFound: no such job of the caller's.
        """
        job = await self.store.get(job_id, caller)
        if job_id in self._tasks:
            self._cancelled.add(job_id)
        await self.store.end(job_id, "cancelled")
        if job.kind == "answers" and (item := self._items.get(job_id)):
            item.cancel()
        return await self.store.get(job_id, caller)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """While this is open, jobs run; those that an earlier process left are gone on with."""
        for job in await self.store.adopt():
            self._work_on(job)
        try:
            yield
        finally:
            self._closing = True
            for item in tuple(self._items.values()):
                item.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _work_on(self, job: Job) -> None:
        task = asyncio.create_task(self._run(job))
        self._tasks[job.job_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.job_id, None))

    async def _run(self, job: Job) -> None:
        try:
            async with self._turns:
                for item in await self.store.items(job.job_id, waiting=True):
                    if not await self._settled(job, item):
                        return
                await self.store.end(job.job_id, "done")
        except SixplyError:  # its store fails: whoever asks for the job is told so, and the next process goes on
            log.exception("job %s stopped", job.job_id)
        finally:
            self._cancelled.discard(job.job_id)

    async def _settled(self, job: Job, item: JobItem) -> bool:
        """Whether the next item may be begun."""
        work, do = self._do[job.kind]
        while self._admission[work].running >= max(1, self._admission[work].places // 2):
            if self._stopped(job):
                return False
            await asyncio.sleep(PLACE_AGAIN_S)
        if self._stopped(job) or (await self.store.get(job.job_id, job.principal)).status != "running":
            return False  # the latter where another worker was told to cancel it
        try:
            async with self._admission[work].place():
                self._items[job.job_id] = asyncio.ensure_future(do(item, job.principal, self.store.files(job.job_id)))
                outcome = await self._items[job.job_id]
        except (asyncio.CancelledError, ShuttingDown):
            return False
        except Overloaded:
            return await self._settled(job, item)
        except Exception as error:  # it ends this item and no other
            told = explained(error)
            problem = {"code": told.code, "detail": str(told), "retryable": told.retryable}
            if isinstance(told, DocumentRefused):
                problem["reason"] = told.reason
            await self.store.settle(job.job_id, item.number, "failed", problem)
        else:
            await self.store.settle(job.job_id, item.number, "done", outcome)
        finally:
            self._items.pop(job.job_id, None)
        return not self._stopped(job)

    def _stopped(self, job: Job) -> bool:
        return self._closing or self._lifecycle.draining or job.job_id in self._cancelled


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, content in files.items():
        with (folder / name).open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _job(row: sqlite3.Row) -> Job:
    subject, tenant, roles, groups = json.loads(row["principal"])
    return Job(
        job_id=row["job_id"],
        kind=row["kind"],
        status=row["status"],
        begun_at=datetime.fromisoformat(row["begun_at"]),
        total=row["total"],
        done=int(row["done"]),
        failed=int(row["failed"]),
        principal=Principal(subject, tenant, frozenset(roles), frozenset(groups)),
    )


def _item(row: sqlite3.Row) -> JobItem:
    outcome = None if row["outcome"] is None else json.loads(row["outcome"])
    return JobItem(row["number"], row["name"], json.loads(row["given"]), row["status"], outcome)

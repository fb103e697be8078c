"""Jobs and the outcome of each item, in a database with a folder of files for each job."""

import asyncio
import json
import logging
import os
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from pydantic import Field, TypeAdapter

from extensions.jobs.settings import JobSettings
from foundation.clock import Clock
from foundation.errors import NotFound, StoreUnavailable
from foundation.machine.worker import this_worker, worker_lives
from foundation.stores.full_disk import translate_errors
from foundation.stores.registry import Person
from foundation.stores.sqlite_file import SqliteFile, SqliteStore
from foundation.types import Principal
from orchestration.requests import Noun
from serving.http.errors import QuotaExceeded

log = logging.getLogger("sixply.serving")

# `responses` are questions of a vendor API's client, with the request body, which the reply repeats
Kind = Literal["ingest", "answers", "responses"]
Status = Literal["running", "done", "cancelled", "revoked"]
ItemStatus = Literal["waiting", "done", "failed"]

KEPT = timedelta(days=7)
RETRY_AFTER_S = 60.0

# a job whose files are being written; callers do not see it
ARRIVING = "arriving"

AT_WORK = ("running", ARRIVING)
_PRINCIPAL = TypeAdapter(Principal)

# `octet_length` does not read a long text, and is there from SQLite 3.43 on
SIZE = "octet_length" if sqlite3.sqlite_version_info >= (3, 43) else "length"

HELD = f"""
SELECT jobs.job_id, jobs.status, coalesce(sum({SIZE}(name) + {SIZE}(given) + coalesce({SIZE}(outcome), 0)), 0) AS bytes
FROM jobs LEFT JOIN items USING (job_id) WHERE tenant = ? GROUP BY jobs.job_id ORDER BY begun_at
"""  # noqa: S608 - own words

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
    attempts INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, number)
) STRICT, WITHOUT ROWID;
"""

FOLDER = "jobs"


def _erase(data_dir: Path, person: Person) -> int:
    def remove(connection: sqlite3.Connection, person: Person) -> int:
        rows = connection.execute(
            "SELECT job_id FROM jobs WHERE tenant = ? AND subject = ?", (person.tenant, person.subject)
        )
        jobs = [row["job_id"] for row in rows]
        # files first: a kill in between leaves the rows, by which they are found again
        for job_id in jobs:
            shutil.rmtree(data_dir / FOLDER / job_id, ignore_errors=True)
        # a running job finds itself gone before its next item, and its current one cannot be stored
        _forget(connection, jobs)
        return len(jobs)

    return replace(STORE, erase_rows=remove).erase_now(data_dir, person)


STORE = SqliteStore(
    name="jobs",
    file=f"{FOLDER}/jobs.sqlite",
    files=(f"{FOLDER}/*",),
    schema=SCHEMA,
    erase=_erase,
    erased="their jobs, running ones too: questions, answers, names and files of documents",
)
STORES = (STORE,)


class Job(Noun):
    """State of a job."""

    job_id: str
    kind: Kind
    status: Status
    """`running` also while the job waits for its turn or for a kill switch to be lifted. `revoked`: its credential
    is no longer valid, or no longer allows the job."""
    begun_at: datetime
    total: int
    done: int
    failed: int
    principal: Principal = Field(exclude=True)
    """Its caller sees all but this."""


class JobItem(Noun):
    """One piece of a job."""

    number: int
    name: str
    """Name of the file, or the question."""
    status: ItemStatus
    outcome: dict[str, Any] | None
    """For a `done` item, the document or the answer, as their routes return them. For a `failed` one, `code`,
    `detail` and `retryable`, and the `reason` of a refused document."""
    given: dict[str, Any] = Field(exclude=True)
    """Its input. Its caller sees neither this nor `attempts`."""
    attempts: int = Field(default=0, exclude=True)
    """Starts that ended in neither an outcome nor a postponement."""


class JobStore:
    """Jobs and their items in one SQLite file, and their files in folders beside it."""

    def __init__(self, folder: Path, clock: Clock, limits: JobSettings = JobSettings()) -> None:  # noqa: B008 - frozen
        self._folder = folder
        self._clock = clock
        self._limits = limits
        self._file = SqliteFile(folder / "jobs.sqlite", STORE)

    def new_id(self) -> str:
        return uuid4().hex

    def files(self, job_id: str) -> Path:
        return self._folder / job_id

    async def add(
        self, kind: Kind, caller: Principal, items: Sequence[tuple[str, Mapping[str, Any]]], files: Mapping[str, bytes]
    ) -> Job:
        """Store a job and its files on disk, or neither. Raises QuotaExceeded: the tenant has too many jobs, or they
        take too much space. StorageFull, StoreUnavailable.
        """
        job_id = self.new_id()
        begun_at = self._clock.now().isoformat()
        principal = _PRINCIPAL.dump_json(caller).decode()
        row = (job_id, kind, caller.tenant, caller.subject, principal, ARRIVING, begun_at, this_worker())
        rows = [(job_id, number, name, json.dumps(fields), "waiting") for number, (name, fields) in enumerate(items, 1)]
        size = sum(map(len, files.values())) + sum(len(name) + len(fields) for _, _, name, fields, _ in rows)

        def insert(connection: sqlite3.Connection) -> None:
            self._make_room(connection, caller.tenant, size)
            connection.execute("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            connection.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?, NULL, 0)", rows)

        # before the files, so that a folder without a row can be deleted
        await self._file.run(insert)
        try:
            await asyncio.to_thread(_write, self.files(job_id), files)
            await self._execute("UPDATE jobs SET status = 'running' WHERE job_id = ?", job_id)
        except BaseException:
            await self._drop(job_id)
            raise
        return await self.get(job_id, caller)

    async def _drop(self, job_id: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self.files(job_id), ignore_errors=True)
        with suppress(StoreUnavailable):  # where the disk is too full for that, `adopt` does it later
            await self._file.run(lambda connection: _forget(connection, [job_id]))

    def _make_room(self, connection: sqlite3.Connection, tenant: str, size: int) -> None:
        """Delete the tenant's oldest ended jobs until `size` more bytes fit. Raises QuotaExceeded: they cannot."""
        rows = connection.execute(HELD, (tenant,)).fetchall()
        at_work = {row["job_id"] for row in rows if row["status"] in AT_WORK}
        if len(at_work) >= self._limits.running_per_tenant:
            raise QuotaExceeded(
                f"Your tenant has {len(at_work)} jobs that are not done, the most at once ([jobs] running_per_tenant). "
                "Wait for one, or cancel one.",
                limit="jobs",
                retry_after_s=RETRY_AFTER_S,
            )
        most = int(self._limits.mb_per_tenant * 1e6)
        held = {row["job_id"]: row["bytes"] + self._file_bytes(row["job_id"]) for row in rows}
        for job_id in [row["job_id"] for row in rows if row["job_id"] not in at_work]:
            if sum(held.values()) + size <= most:
                break
            del held[job_id]
            _forget(connection, [job_id])
        if sum(held.values()) + size > most:
            raise QuotaExceeded(
                f"This job is {size / 1e6:.1f} MB, and {sum(held.values()) / 1e6:.1f} MB of your tenant's are at work; "
                f"{most / 1e6:g} MB is the most ([jobs] mb_per_tenant). Wait for a job, or cancel one.",
                limit="jobs_mb",
                retry_after_s=RETRY_AFTER_S,
            )

    def _file_bytes(self, job_id: str) -> int:
        with suppress(OSError):
            return sum(file.stat().st_size for file in self.files(job_id).iterdir())
        return 0

    async def get(self, job_id: str, caller: Principal) -> Job:
        """Return a job. Raises NotFound: the caller has no such job."""
        jobs = await self._of(caller, "job_id = ?", job_id)
        if not jobs:
            raise NotFound(f'No job "{job_id}" of yours. GET /v1/jobs lists them; they are kept for {KEPT.days} days.')
        return jobs[0]

    async def find(self, job_id: str) -> Job:
        """Return a job without checking its caller, for the worker that runs it. Raises NotFound: it was erased."""
        jobs = await self._jobs("job_id = ?", job_id)
        if not jobs:
            raise NotFound(f'The job "{job_id}" is no longer stored.')
        return jobs[0]

    async def add_rights(self, job_id: str, used: Principal) -> None:
        """Add roles and groups of `used` that the caller got after the job began and with which an item is run."""

        def widen(connection: sqlite3.Connection) -> None:
            row = connection.execute("SELECT principal FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
            if row is None:  # erased meanwhile
                return
            caller = _PRINCIPAL.validate_json(row["principal"])
            wide = replace(caller, roles=caller.roles | used.roles, groups=caller.groups | used.groups)
            values = (_PRINCIPAL.dump_json(wide).decode(), job_id)
            connection.execute("UPDATE jobs SET principal = ? WHERE job_id = ?", values)

        await self._file.run(widen)

    async def all(self, caller: Principal) -> list[Job]:
        """Return the caller's jobs, of which each was run with roles and groups that the caller still has."""
        return await self._of(caller, "true")

    async def _of(self, caller: Principal, condition: str, *values: str) -> list[Job]:
        mine = f"{condition} AND tenant = ? AND subject = ? AND jobs.status != '{ARRIVING}'"
        jobs = await self._jobs(mine, *values, caller.tenant, caller.subject)
        return [job for job in jobs if caller.holds_rights_of(job.principal)]

    async def items(self, job_id: str, *, waiting: bool = False) -> list[JobItem]:
        statement = "SELECT * FROM items WHERE job_id = ? ORDER BY number"
        rows = await self._file.run(lambda connection: connection.execute(statement, (job_id,)).fetchall())
        parsed = ({name: json.loads(row[name] or "null") for name in ("given", "outcome")} for row in rows)
        items = [JobItem(**{**row, **values}) for row, values in zip(map(dict, rows), parsed, strict=True)]
        return [item for item in items if not waiting or item.status == "waiting"]

    async def count_attempt(self, job_id: str, number: int, change: Literal[1, -1]) -> None:
        """Count the start of an item, or take it back where the item was postponed."""
        statement = "UPDATE items SET attempts = attempts + ? WHERE job_id = ? AND number = ?"
        await self._execute(statement, change, job_id, number)

    async def settle(
        self, job_id: str, number: int, status: ItemStatus, outcome: Mapping[str, Any], kept: Mapping[str, Any]
    ) -> None:
        """Store the outcome of an item, and replace its input by `kept`."""
        statement = "UPDATE items SET status = ?, outcome = ?, given = ? WHERE job_id = ? AND number = ?"
        await self._execute(statement, status, json.dumps(outcome), json.dumps(kept), job_id, number)

    async def end(self, job_id: str, status: Status) -> None:
        """End a job, unless it has ended already, and delete its files."""
        await self._execute("UPDATE jobs SET status = ? WHERE job_id = ? AND status = 'running'", status, job_id)
        await asyncio.to_thread(shutil.rmtree, self.files(job_id), ignore_errors=True)

    async def _execute(self, statement: str, *values: str | int) -> None:
        await self._file.run(lambda connection: connection.execute(statement, values))

    async def adopt(self) -> list[Job]:
        """Take over and return the running jobs of processes that have died. Delete old jobs, jobs whose process
        died while it stored them, and files that belong to no running job.
        """
        until = (self._clock.now() - KEPT).isoformat()
        # before the rows: a job that arrives meanwhile is not among these
        folders = {path.name for path in self._folder.iterdir() if path.is_dir()}

        def take(connection: sqlite3.Connection) -> tuple[list[str], set[str]]:
            statement = f"SELECT job_id FROM jobs WHERE begun_at < ? AND status NOT IN {AT_WORK}"  # noqa: S608 - own words
            _forget(connection, [row["job_id"] for row in connection.execute(statement, (until,))])
            rows = connection.execute(f"SELECT * FROM jobs WHERE status IN {AT_WORK}").fetchall()  # noqa: S608 - own words
            abandoned = [row for row in rows if not worker_lives(row["worker"])]
            dropped = [row["job_id"] for row in abandoned if row["status"] == ARRIVING]
            _forget(connection, dropped)
            adopted = [row["job_id"] for row in abandoned if row["status"] != ARRIVING]
            connection.executemany(
                "UPDATE jobs SET worker = ? WHERE job_id = ?", [(this_worker(), job_id) for job_id in adopted]
            )
            return adopted, {row["job_id"] for row in rows}.difference(dropped)

        adopted, at_work = await self._file.run(take)
        if orphans := folders - at_work:
            log.warning("removed the files of %d jobs that were not taken in or have ended", len(orphans))
        for job_id in orphans:
            await asyncio.to_thread(shutil.rmtree, self.files(job_id), ignore_errors=True)
        return [job for job_id in adopted for job in await self._jobs("job_id = ?", job_id)]

    def close(self) -> None:
        self._file.close()

    async def _jobs(self, condition: str, *values: str) -> list[Job]:
        statement = (
            "SELECT job_id, kind, jobs.status, begun_at, principal, count(number) AS total, "  # noqa: S608 - own words
            "total(items.status = 'done') AS done, total(items.status = 'failed') AS failed "
            "FROM jobs LEFT JOIN items USING (job_id) "
            f"WHERE {condition} GROUP BY job_id ORDER BY begun_at"
        )
        rows = await self._file.run(lambda connection: connection.execute(statement, values).fetchall())
        return [Job(**{**row, "principal": _PRINCIPAL.validate_json(row["principal"])}) for row in map(dict, rows)]


def _forget(connection: sqlite3.Connection, job_ids: Sequence[str]) -> None:
    for table in ("items", "jobs"):
        connection.executemany(f"DELETE FROM {table} WHERE job_id = ?", [(job_id,) for job_id in job_ids])  # noqa: S608 - own words


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    with translate_errors(folder):
        folder.mkdir()
        for name, content in files.items():
            with (folder / name).open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())

"""The audit log: every tool call, decision and answer, written before its outcome is returned, never changed afterwards.

Records form a hash chain. To detect a missing end, its head (the number of records and the last hash) is also kept in a
file beside it, on the span of each call and in the log of each start. An attacker who can rewrite all of them can forge
it (docs/decisions/0046-the-audit-log-is-a-hash-chain.md).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

from extensions.audit.span_names import AUDIT_HEAD
from foundation.clock import Clock
from foundation.errors import InvalidRequest, StoreUnavailable
from foundation.stores.full_disk import translate_errors
from foundation.stores.json_file import JsonFile
from foundation.stores.sqlite_file import SqliteFile, SqliteStore, connect_to_read
from foundation.tracing import annotate
from foundation.types import Principal
from orchestration.effects.records import Record

# The hash before the first record
BEGINNING = "0" * 64
_TRIGGER = """CREATE TRIGGER {} BEFORE {} ON chain
    BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END"""
TRIGGERS = {
    name: _TRIGGER.format(name, act)
    for name, act in (("chain_is_not_edited", "UPDATE"), ("chain_is_not_deleted", "DELETE"))
}
# The tables. The column `tenant` is a copy for people; queries use the tenant in `body`, which the hash covers
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS chain (
    number   INTEGER PRIMARY KEY,
    tenant   TEXT NOT NULL,
    body     TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash     TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS probe (number INTEGER PRIMARY KEY, at TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS chain_by_written_tenant ON chain (body ->> '$.tenant', number);
{"".join(trigger.replace("TRIGGER", "TRIGGER IF NOT EXISTS", 1) + ";" for trigger in TRIGGERS.values())}
"""
FILE = "audit.sqlite"
log = logging.getLogger(__name__)


def _runs_of(data_dir: Path, principal: Principal) -> Iterator[tuple[str, str]]:
    wanted = "body ->> '$.tenant' = ? AND body ->> '$.subject' = ? AND body ->> '$.act' <> 'erasure'"
    query = f"SELECT body ->> '$.run_id', coalesce(body ->> '$.trace_id', '') FROM chain WHERE {wanted}"  # noqa: S608 - own words
    yield from _select(data_dir / FILE, query, principal.tenant, principal.subject)


def _manifests(data_dir: Path) -> set[str]:
    named = _select(data_dir / FILE, "SELECT DISTINCT body ->> '$.manifest_id' FROM chain")
    return {manifest_id for (manifest_id,) in named if manifest_id}


STORE = SqliteStore(
    name="audit",
    file=FILE,
    files=("audit.head", "audit.lock", "audit.new"),
    schema=SCHEMA,
    stays="who did what and when, by name, with a hash of arguments and names of documents, but no words that were said. The law "
    "asks for these records, and the chain cannot lose one",
    runs_of=_runs_of,
    manifests=_manifests,
)
STORES = (STORE,)


def canonical(value: Any) -> str:
    """Return canonical JSON, the same text for equal values: sorted keys, no spaces, no NaN, ASCII.

    >>> canonical({"b": 1, "a": "\u00e9"})
    '{"a":"\\\\u00e9","b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def record_hash(number: int, previous: str, body: str) -> str:
    return hashlib.sha256(canonical([number, previous, body]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Head:
    """The number of records in the chain and the hash of the last one. As text `COUNT:HASH`."""

    count: int
    hash: str

    def __str__(self) -> str:
        return f"{self.count}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Parse `COUNT:HASH`. Raises InvalidRequest: the text is something else."""
        count, _, digest = text.strip().strip('"').partition(":")
        if not count.isdigit() or len(digest) != len(BEGINNING):
            raise InvalidRequest(f'"{text.strip()[:80]}" is no head of an audit. It looks like 12:ab34..., 64 digits.')
        return cls(int(count), digest)


class SqliteAudit:
    """The audit log in an append-only table."""

    def __init__(self, path: Path, clock: Clock) -> None:
        lacking = _lacking_triggers(path)  # before the file is opened, which creates them again
        self._file, self._head = SqliteFile(path, STORE), head_file(path)
        if lacking:
            log.warning("The audit was without %s, which forbid changes. Look who took them away.", ", ".join(lacking))
        self._clock = clock

    @asynccontextmanager
    async def tell_head(self, _: object) -> AsyncIterator[None]:
        """Log the head when a server starts, so that a copy of it is kept wherever the log is kept."""
        log.info("The audit reaches %s.", await self._file.run(_last_head))
        yield

    async def record(self, entry: Record) -> None:
        """Append a record. Raises StoreUnavailable, StorageFull: it was not written, so the outcome must not be returned."""
        body = canonical({"at": self._clock.now().isoformat(), **entry.model_dump(mode="json")})

        def append() -> Head:
            with self._file.transaction() as connection:
                last = _last_head(connection)
                head = Head(last.count + 1, record_hash(last.count + 1, last.hash, body))
                row = (head.count, entry.tenant, body, last.hash, head.hash)
                connection.execute("INSERT INTO chain VALUES (?, ?, ?, ?, ?)", row)
            _keep(self._head, head)
            return head

        annotate(AUDIT_HEAD, str(await asyncio.to_thread(append)))

    def probe(self) -> None:
        """Check that the store can be written, by writing a row of the table `probe`. Raises StoreUnavailable, StorageFull."""
        at = self._clock.now().isoformat()
        self._file.run_now(lambda connection: connection.execute("INSERT OR REPLACE INTO probe VALUES (1, ?)", (at,)))
        _read_head(self._head)

    async def entries(self, tenant: str) -> list[tuple[str, Record]]:
        """Return (time, record) of one tenant, oldest first."""
        query = "SELECT body FROM chain WHERE body ->> '$.tenant' = ? ORDER BY number"
        rows = await self._file.run(lambda connection: connection.execute(query, (tenant,)).fetchall())
        return [_parse_entry(json.loads(row["body"])) for row in rows]

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True, slots=True)
class Problem:
    number: int
    kind: Literal["edited", "dropped", "reordered", "truncated", "forged", "unguarded"]
    what: str


@dataclass(frozen=True, slots=True)
class Verification:
    records: int
    head: Head
    after_the_kept_head: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self), "head": str(self.head)}


def verify(path: Path, *, known: Head | None = None, witnesses: Iterable[Head] = ()) -> Verification:
    """Verify the chain in the file at `path` against its kept head, a head `known` from elsewhere, and `witnesses` from
    other stores. Raises StoreUnavailable: there is no audit, or the file is no SQLite file with one.
    """
    stored_head = _read_head(head_file(path))
    heads: dict[int, set[str]] = defaultdict(set)
    for head in (stored_head, known, *witnesses):
        if head is not None:
            heads[head.count].add(head.hash)
    unguarded = "{} is missing or was changed, which forbids changes."
    problems = [Problem(0, "unguarded", unguarded.format(trigger)) for trigger in _lacking_triggers(path)]
    count, last, expected = 0, BEGINNING, 1
    for number, tenant, body, previous, stored in _rows(path):
        if number != expected:
            missing = f"{expected}" if number == expected + 1 else f"{expected} to {number - 1}"
            problems.append(Problem(expected, "dropped", f"Record {missing} is missing."))
        elif previous != last:
            problems.append(Problem(number, "reordered", f"Record {number} does not follow the one before it."))
        if stored != record_hash(number, previous, body):
            problems.append(Problem(number, "edited", f"Record {number} is not what was written."))
        # the hash covers the body alone, and people look at the column
        elif (written := json.loads(body).get("tenant")) != tenant:
            what = f'Record {number} stands below the tenant "{tenant}" and was written for "{written}".'
            problems.append(Problem(number, "edited", what))
        if heads.get(number, {stored}) != {stored}:
            problems.append(Problem(number, "forged", f"Record {number} is not the one whose hash was kept."))
        count, last, expected = count + 1, stored, number + 1
    end = expected - 1
    problems += [
        Problem(end + 1, "truncated", f"The records from {end + 1} to {head_count} are missing at the end.")
        for head_count in sorted(heads)
        if head_count > end
    ]
    if stored_head is None and count:
        problems.append(Problem(end, "truncated", f"{head_file(path).name} is missing, so an end may be missing too."))
    after = max(0, end - stored_head.count) if stored_head else count
    return Verification(count, Head(end, last), after, tuple(problems))


def of_trace(path: Path, trace: str) -> list[tuple[str, Record]]:
    """Return (time, record) of a trace, oldest first, with the decisions on its approvals; empty where there is no audit.
    Raises StoreUnavailable: the file is no SQLite file with an audit.
    """
    if not path.exists():
        return []
    bodies = [json.loads(row[2]) for row in _rows(path, f'"trace_id":"{trace}"')]
    for approval in {body["approval_id"] for body in bodies} - {None}:
        decided = (json.loads(row[2]) for row in _rows(path, f'"approval_id":"{approval}"'))
        bodies += [body for body in decided if body["act"] == "decision"]
    return sorted(map(_parse_entry, bodies), key=itemgetter(0))


def rows_of_trace(path: Path, trace: str) -> list[dict[str, Any]]:
    """Return the records of a trace as plain values, with their times. Raises as `of_trace`."""
    return [{"at": at, **record.model_dump(mode="json")} for at, record in of_trace(path, trace)]


def head_file(path: Path) -> Path:
    return path.with_suffix(".head")


def _parse_entry(body: Mapping[str, Any]) -> tuple[str, Record]:
    return body["at"], Record(**{name: value for name, value in body.items() if name in Record.model_fields})


def _last_head(connection: sqlite3.Connection) -> Head:
    last = connection.execute("SELECT number, hash FROM chain ORDER BY number DESC LIMIT 1").fetchone()
    return Head(*last) if last else Head(0, BEGINNING)


def _lacking_triggers(path: Path) -> list[str]:
    try:
        with closing(connect_to_read(path)) as database:
            present = dict(database.execute("SELECT name, sql FROM sqlite_master WHERE type IN ('trigger', 'table')"))
    except sqlite3.Error:
        return []  # no file, or the next reader of the chain reports the damage
    return [name for name, sql in TRIGGERS.items() if "chain" in present and present.get(name) != sql]


def _rows(path: Path, having: str = "") -> Iterator[tuple[int, str, str, str, str]]:
    if not path.exists():
        raise StoreUnavailable(f"There is no audit at {path}. Nothing has run there, or it was deleted.")
    query = "SELECT number, tenant, body, previous, hash FROM chain WHERE instr(body, ?) ORDER BY number"
    yield from _select(path, query, having)


def _select(path: Path, query: str, *values: str) -> Iterator[Any]:
    """Yield rows without opening the log, nothing where there is none. Raises StoreUnavailable: it cannot be read."""
    if not path.exists():
        return
    try:
        with closing(connect_to_read(path)) as database:
            yield from database.execute(query, values)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{path} holds no audit that can be read: {error}. Restore it from a backup.") from error


def _keep(path: Path, head: Head) -> None:
    # two processes may write at once: a later head must not be replaced by an earlier one
    file = JsonFile(path, Head.parse)
    with translate_errors(path), file.exclusive():
        if head.count > (_read_head(path) or Head(0, BEGINNING)).count:
            file.write(str(head))


def _read_head(path: Path) -> Head | None:
    try:
        return Head.parse(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return None
    except (InvalidRequest, UnicodeDecodeError) as error:
        raise StoreUnavailable(f"{path} is not what was written there. Look who changed it.") from error

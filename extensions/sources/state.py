"""What a sync knows of each source: its objects, when their rights were last confirmed, and how far the listing came."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from sqlite3 import Row
from typing import Any

from extensions.sources.contract import Readers
from foundation.clock import Clock
from foundation.stores.registry import Store
from foundation.stores.sqlite_file import SqliteFile, SqliteStore

FILE = "sources.sqlite"
STORE = SqliteStore(
    name="sources",
    file=FILE,
    schema="""
        CREATE TABLE IF NOT EXISTS objects (
            source TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, readers TEXT NOT NULL,
            document_id TEXT NOT NULL, uri TEXT NOT NULL, rights_at TEXT NOT NULL, pass INTEGER NOT NULL,
            PRIMARY KEY (source, key)
        ) WITHOUT ROWID;
        CREATE INDEX IF NOT EXISTS objects_by_document ON objects (document_id);
        CREATE INDEX IF NOT EXISTS objects_by_pass ON objects (source, pass);
        CREATE TABLE IF NOT EXISTS passes (
            source TEXT PRIMARY KEY, number INTEGER NOT NULL, cursor TEXT NOT NULL, ended_at TEXT NOT NULL
        );
    """,
    stays="names, versions and readers of documents of your sources, as those name them",
)
COPIES = Store(
    name="copies of repositories", files=("sources/*",), stays="their documents, as the repositories have them"
)
STORES = (STORE, COPIES)


@dataclass(frozen=True, slots=True)
class Known:
    """An object as the last sync left it. `document_id` is empty where it is no document: its parser refused it, or, where `uri` is
    empty as well, nobody here may read it.
    """

    key: str
    name: str
    version: str
    readers: Readers
    document_id: str
    uri: str
    rights_at: str


@dataclass(frozen=True, slots=True)
class Progress:
    """The pass over a source that is under way, or the last one. `cursor` is empty where it begins, or has ended."""

    number: int
    cursor: str
    ended_at: str


class SourceState:
    """Thread-safe."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._file, self._clock = SqliteFile(path, STORE), clock

    def close(self) -> None:
        self._file.close()

    def progress(self, source: str) -> Progress:
        """Return the pass to go on with: a new one where the last has ended."""
        with self._file.reading() as connection:
            row = connection.execute(
                "SELECT number, cursor, ended_at FROM passes WHERE source = ?", (source,)
            ).fetchone()
        if row is None:
            return Progress(1, "", "")
        return Progress(row["number"] + (not row["cursor"]), row["cursor"], row["ended_at"])

    def known(self, source: str, keys: Collection[str]) -> dict[str, Known]:
        return {
            it.key: it
            for it in self._read("source = ? AND key IN (SELECT value FROM json_each(?))", source, json.dumps([*keys]))
        }

    def of_documents(self, document_ids: Iterable[str]) -> dict[str, tuple[str, Known]]:
        """Return source and object of each document that comes from a source."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT * FROM objects WHERE document_id <> '' AND document_id IN (SELECT value FROM json_each(?))",
                (json.dumps([*document_ids]),),
            ).fetchall()
        return {row["document_id"]: (row["source"], _read_row(row)) for row in rows}

    def not_seen(self, source: str, number: int) -> list[Known]:
        """Return the objects that the pass of this number did not list."""
        return list(self._read("source = ? AND pass < ?", source, number))

    def count(self, source: str) -> int:
        """Return the number of its objects that are among the documents."""
        with self._file.reading() as connection:
            query = "SELECT count(*) FROM objects WHERE source = ? AND document_id <> ''"
            return int(connection.execute(query, (source,)).fetchone()[0])

    def keep(self, source: str, objects: Iterable[Known], number: int, cursor: str) -> None:
        """Write the objects of a page and how far the listing came, at once."""
        rows = [
            (source, it.key, it.name, it.version, _as_text(it.readers), it.document_id, it.uri, it.rights_at, number)
            for it in objects
        ]
        with self._file.transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            _note(connection, source, number, cursor, "")

    def restart(self, source: str, number: int) -> None:
        """Forget a cursor; what this pass has listed so far stays listed."""
        with self._file.transaction() as connection:
            connection.execute("DELETE FROM passes WHERE source = ?", (source,))
            if number > 1:
                _note(connection, source, number - 1, "", "")

    def end(self, source: str, number: int) -> None:
        """The pass has listed everything, and what it did not list is out."""
        with self._file.transaction() as connection:
            connection.execute("DELETE FROM objects WHERE source = ? AND pass < ?", (source, number))
            _note(connection, source, number, "", self._clock.now().isoformat())

    def confirm(self, source: str, readers: Mapping[str, Readers], at: datetime) -> None:
        """Note that these objects may be read by these people at this time."""
        rows = [(at.isoformat(), source, key, _as_text(who)) for key, who in readers.items()]
        with self._file.transaction() as connection:
            connection.executemany(
                "UPDATE objects SET rights_at = ? WHERE source = ? AND key = ? AND readers = ?", rows
            )

    def forget(self, source: str, keys: Collection[str]) -> None:
        with self._file.transaction() as connection:
            connection.execute(
                "DELETE FROM objects WHERE source = ? AND key IN (SELECT value FROM json_each(?))",
                (source, json.dumps([*keys])),
            )

    def _read(self, where: str, *values: Any) -> Iterator[Known]:
        with self._file.reading() as connection:
            rows = connection.execute(f"SELECT * FROM objects WHERE {where}", values).fetchall()  # noqa: S608 - own text
        return map(_read_row, rows)


def _note(connection: Any, source: str, number: int, cursor: str, ended_at: str) -> None:
    connection.execute("INSERT OR REPLACE INTO passes VALUES (?, ?, ?, ?)", (source, number, cursor, ended_at))


def _read_row(row: Row) -> Known:
    readers = json.loads(row["readers"])
    return Known(
        row["key"],
        row["name"],
        row["version"],
        None if readers is None else frozenset(readers),
        row["document_id"],
        row["uri"],
        row["rights_at"],
    )


def _as_text(readers: Readers) -> str:
    return json.dumps(None if readers is None else sorted(readers), ensure_ascii=False)

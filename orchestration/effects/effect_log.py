"""The effect log, by which an effect happens once, whatever is retried, resumed, approved twice or killed."""

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundation.errors import Conflict
from foundation.stores import erasures
from foundation.stores.registry import Person
from foundation.stores.sqlite_file import Open, SqliteFile, SqliteStore
from foundation.types import Principal

SCHEMA = """
CREATE TABLE IF NOT EXISTS effects (
    key            TEXT PRIMARY KEY,
    tool           TEXT NOT NULL,
    arguments_hash TEXT NOT NULL,
    begun_at       TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    result         TEXT,
    tenant         TEXT NOT NULL DEFAULT '',
    subject        TEXT NOT NULL DEFAULT ''
) STRICT;
"""


def _erase(connection: sqlite3.Connection, person: Person) -> int:
    """Erase the results and arguments of a person's effects; the key stays, so that nothing is carried out twice."""
    theirs = (person.tenant, person.subject)
    results = "SELECT key, result FROM effects WHERE tenant = ? AND subject = ? AND result IS NOT NULL"
    for key, result in connection.execute(results, theirs).fetchall():
        connection.execute("UPDATE effects SET result = ? WHERE key = ?", (_without_words(json.loads(result)), key))
    forget = "UPDATE effects SET arguments_hash = '', subject = '', tenant = '' WHERE tenant = ? AND subject = ?"
    return connection.execute(forget, theirs).rowcount


def _without_words(result: Mapping[str, Any]) -> str:
    return json.dumps({"tool": result.get("tool", ""), "status": "done", "content": "What was done here was erased."})


STORE = SqliteStore(
    name="effects",
    file="effects.sqlite",
    schema=SCHEMA,
    erase_rows=_erase,
    erased="what was carried out for them: its result, its arguments and who asked",
    stays="a random key and the tool's name, so that it is never carried out twice",
    shared=True,
)


class SqliteEffects:
    """Effects by run, step and arguments. A row without a result was begun and never reported back."""

    def __init__(self, path: Path, records: Open = SqliteFile) -> None:
        self._file = records(path, STORE)

    async def begin(self, key: str, tool: str, arguments_hash: str, principal: Principal) -> Mapping[str, Any] | None:
        """Claim `key` and return `None`, or the stored result of what has happened. Raises Conflict: it was begun and never finished."""

        def claim(connection: sqlite3.Connection) -> sqlite3.Row | None:
            inserted = connection.execute(
                "INSERT OR IGNORE INTO effects (key, tool, arguments_hash, tenant, subject) VALUES (?, ?, ?, ?, ?)",
                (key, tool, arguments_hash, principal.tenant, principal.subject),
            )
            if inserted.rowcount:
                return None
            earlier: sqlite3.Row = connection.execute("SELECT * FROM effects WHERE key = ?", (key,)).fetchone()
            return earlier

        row = await self._file.run(claim)
        if row is None:
            return None
        if (row["tool"], row["arguments_hash"]) != (tool, arguments_hash):
            raise Conflict(f"Effect {key[:12]} belongs to another call of {row['tool']}. Nothing was done.")
        if row["result"] is None:
            raise Conflict(
                f"{tool} was begun at {row['begun_at']} and never reported back, so nobody knows whether it happened. "
                "A person must look before it is tried again."
            )
        return dict(json.loads(row["result"]))

    async def finish(self, key: str, result: Mapping[str, Any]) -> None:
        def keep(connection: sqlite3.Connection) -> None:  # it happened, even if the person is erased
            text = _without_words(result) if erasures.is_erased() else json.dumps(dict(result))
            connection.execute("UPDATE effects SET result = ? WHERE key = ?", (text, key))

        await self._file.run(keep, of_nobody=True)

    async def abandon(self, key: str) -> None:
        """Release `key` of an effect that certainly did not happen, so that it may be tried again."""
        statement = "DELETE FROM effects WHERE key = ? AND result IS NULL"
        await self._file.run(lambda connection: connection.execute(statement, (key,)), of_nobody=True)

    async def keys_of(self, principal: Principal) -> list[str]:
        """Return the keys of the effects that were carried out for a person."""
        theirs = (principal.tenant, principal.subject)
        statement = "SELECT key FROM effects WHERE tenant = ? AND subject = ?"
        return await self._file.run(lambda c: [row["key"] for row in c.execute(statement, theirs)])

    def close(self) -> None:
        self._file.close()

"""The effect ledger: an effect happens once, whatever is retried, resumed, approved twice or killed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundation.errors import Conflict
from orchestration.sqlite_file import SqliteFile

SCHEMA = """
CREATE TABLE IF NOT EXISTS effects (
    key            TEXT PRIMARY KEY,
    tool           TEXT NOT NULL,
    arguments_hash TEXT NOT NULL,
    begun_at       TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    result         TEXT
) STRICT;
"""


class SqliteEffects:
    """An `EffectLedger` in one SQLite file. A row without a result has begun and was never heard of again."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, SCHEMA)

    async def begin(self, key: str, tool: str, arguments_hash: str) -> Mapping[str, Any] | None:
        def claim(connection: sqlite3.Connection) -> sqlite3.Row | None:
            inserted = connection.execute(
                "INSERT OR IGNORE INTO effects (key, tool, arguments_hash) VALUES (?, ?, ?)",
                (key, tool, arguments_hash),
            )
            if inserted.rowcount:
                return None
            found: sqlite3.Row = connection.execute("SELECT * FROM effects WHERE key = ?", (key,)).fetchone()
            return found

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
        text = json.dumps(dict(result))
        await self._file.run(lambda c: c.execute("UPDATE effects SET result = ? WHERE key = ?", (text, key)))

    async def abandon(self, key: str) -> None:
        await self._file.run(lambda c: c.execute("DELETE FROM effects WHERE key = ? AND result IS NULL", (key,)))

    def close(self) -> None:
        self._file.close()

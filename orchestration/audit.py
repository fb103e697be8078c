"""The audit: every tool call and every decision, written before anybody hears of it, never changed afterwards."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from foundation.clock import Clock
from orchestration.contract import AuditRecord
from orchestration.sqlite_file import SqliteFile

SCHEMA = """
CREATE TABLE IF NOT EXISTS audit (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    at     TEXT NOT NULL,
    tenant TEXT NOT NULL,
    entry  TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS audit_by_tenant ON audit (tenant, id);
CREATE TRIGGER IF NOT EXISTS audit_is_not_edited BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER IF NOT EXISTS audit_is_not_deleted BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
"""


class SqliteAudit:
    """An `AuditLog` in one append-only table. A chain of hashes that shows tampering with the file is a later step."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._file = SqliteFile(path, SCHEMA)
        self._clock = clock

    async def record(self, entry: AuditRecord) -> None:
        row = (self._clock.now().isoformat(), entry.tenant, entry.model_dump_json())
        await self._file.run(lambda c: c.execute("INSERT INTO audit (at, tenant, entry) VALUES (?, ?, ?)", row))

    async def entries(self, tenant: str) -> list[tuple[str, AuditRecord]]:
        """(time, record) of one tenant, oldest first."""

        def read(connection: sqlite3.Connection) -> list[tuple[str, AuditRecord]]:
            rows = connection.execute("SELECT at, entry FROM audit WHERE tenant = ? ORDER BY id", (tenant,))
            return [(row["at"], AuditRecord(**json.loads(row["entry"]))) for row in rows]

        return await self._file.run(read)

    def close(self) -> None:
        self._file.close()

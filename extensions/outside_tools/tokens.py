"""What people's own sign-ins to MCP servers gave, encrypted with a key of the operator's, and the tools that such a server listed."""

import base64
import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from foundation.stores.registry import Person
from foundation.stores.sqlite_file import Open, SqliteFile, SqliteStore
from foundation.types import Principal

# The file, in the data folder
FILE = "sign_ins.sqlite"
SCHEMA = """
CREATE TABLE IF NOT EXISTS sign_ins (
    tenant  TEXT NOT NULL,
    subject TEXT NOT NULL,
    server  TEXT NOT NULL,
    body    BLOB NOT NULL,
    PRIMARY KEY (tenant, subject, server)
) STRICT;
CREATE TABLE IF NOT EXISTS listings (
    server TEXT PRIMARY KEY,
    body   TEXT NOT NULL
) STRICT;
"""


def _erase(connection: sqlite3.Connection, person: Person) -> int:
    theirs = (person.tenant, person.subject)
    return connection.execute("DELETE FROM sign_ins WHERE tenant = ? AND subject = ?", theirs).rowcount


STORE = SqliteStore(
    name="sign-ins",
    file=FILE,
    schema=SCHEMA,
    erase_rows=_erase,
    erased="their sign-ins to servers of tools",
    shared=True,
)
STORES = (STORE,)


class SignInStore:
    """What one server gave to each person. `key` is any long secret text."""

    def __init__(self, data_dir: Path, server: str, key: str, records: Open = SqliteFile) -> None:
        from cryptography.fernet import Fernet

        self._data_dir, self._server, self._records = data_dir, server, records
        self._cipher = Fernet(base64.urlsafe_b64encode(hashlib.sha256(f"sign-ins {key}".encode()).digest()))

    def get(self, person: Principal) -> dict[str, Any]:
        """Return what is kept of a person; empty: nothing, or it was encrypted with another key."""
        from cryptography.fernet import InvalidToken

        sql = "SELECT body FROM sign_ins WHERE tenant = ? AND subject = ? AND server = ?"
        rows = self._read(sql, person.tenant, person.subject, self._server)
        try:
            return dict(json.loads(self._cipher.decrypt(rows[0]["body"]))) if rows else {}
        except InvalidToken:
            return {}

    def put(self, person: Principal, body: dict[str, Any]) -> None:
        sealed = self._cipher.encrypt(json.dumps(body).encode())
        sql = (
            "INSERT INTO sign_ins VALUES (?, ?, ?, ?) "
            "ON CONFLICT (tenant, subject, server) DO UPDATE SET body = excluded.body"
        )
        self._write(sql, person.tenant, person.subject, self._server, sealed)

    def forget(self, person: Principal) -> None:
        sql = "DELETE FROM sign_ins WHERE tenant = ? AND subject = ? AND server = ?"
        self._write(sql, person.tenant, person.subject, self._server)

    def listing(self) -> list[dict[str, Any]]:
        """Return the tools as the server listed them to whoever signed in first."""
        rows = self._read("SELECT body FROM listings WHERE server = ?", self._server)
        return list(json.loads(rows[0]["body"])) if rows else []

    def keep_listing(self, tools: list[dict[str, Any]]) -> None:
        self._write("INSERT OR IGNORE INTO listings VALUES (?, ?)", self._server, json.dumps(tools))

    def _read(self, sql: str, *values: Any) -> list[Any]:
        with self._open() as file:
            return file.read_now(lambda connection: connection.execute(sql, values).fetchall())

    def _write(self, sql: str, *values: Any) -> None:
        with self._open() as file:
            file.run_now(lambda connection: connection.execute(sql, values))

    def _open(self) -> closing[SqliteFile]:
        # for each, since sign-ins are few and both the server and its tools come here
        return closing(self._records(self._data_dir / FILE, STORE))

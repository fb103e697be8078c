"""What happened while a conversation was played, in a file that outlives the process that plays."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, tool TEXT NOT NULL, arguments TEXT NOT NULL, result TEXT NOT NULL,
    effect INTEGER NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS calls_once ON calls (key) WHERE key != '';
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (number INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS results (place INTEGER PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS notes (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, detail TEXT NOT NULL);
"""


@dataclass(frozen=True)
class MadeCall:
    tool: str
    arguments: dict[str, Any]
    effect: bool
    """It changed something; what failed did not."""


class Journal:
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.executescript(SCHEMA)

    def act_once(self, key: str, tool: str, arguments: dict[str, Any], act: Callable[[], str]) -> str:
        """Do it and record it, unless it was recorded under this key before; its result either way."""
        with self._lock:
            row = self._database.execute("SELECT result FROM calls WHERE key = ?", (key,)).fetchone()
            if row is not None:
                return str(row[0])
            result = act()
            self._insert_call(key, tool, arguments, result, effect=True)
            return result

    def record_call(self, tool: str, arguments: dict[str, Any], result: str) -> None:
        """A call that changed nothing."""
        with self._lock:
            self._insert_call("", tool, arguments, result, effect=False)

    def calls(self) -> list[MadeCall]:
        rows = self._read("SELECT tool, arguments, effect FROM calls ORDER BY number")
        return [MadeCall(tool, json.loads(arguments), bool(effect)) for tool, arguments, effect in rows]

    def mark(self, name: str, value: str) -> None:
        self._write("INSERT OR REPLACE INTO marks VALUES (?, ?)", name, value)

    def marked(self, name: str) -> str:
        return next((str(value) for (value,) in self._read("SELECT value FROM marks WHERE name = ?", name)), "")

    def record_answer(self, number: int, body: dict[str, Any]) -> None:
        self._write("INSERT OR REPLACE INTO answers VALUES (?, ?)", number, json.dumps(body))

    def answers(self) -> list[dict[str, Any]]:
        return [json.loads(body) for (body,) in self._read("SELECT body FROM answers ORDER BY number")]

    def record_result(self, place: int, content: str) -> None:
        """What the model was shown of a result at this place of the script."""
        self._write("INSERT OR REPLACE INTO results VALUES (?, ?)", place, content)

    def results(self) -> dict[int, str]:
        return dict(self._read("SELECT place, content FROM results"))

    def note(self, kind: str, detail: str = "") -> None:
        self._write("INSERT INTO notes (kind, detail) VALUES (?, ?)", kind, detail)

    def notes(self, kind: str) -> list[str]:
        return [
            str(detail) for (detail,) in self._read("SELECT detail FROM notes WHERE kind = ? ORDER BY number", kind)
        ]

    def close(self) -> None:
        self._database.close()

    def _insert_call(self, key: str, tool: str, arguments: dict[str, Any], result: str, *, effect: bool) -> None:
        row = (key, tool, json.dumps(arguments), result, effect)
        statement = "INSERT INTO calls (key, tool, arguments, result, effect) VALUES (?, ?, ?, ?, ?)"
        self._database.execute(statement, row)

    def _write(self, statement: str, *values: Any) -> None:
        with self._lock:
            self._database.execute(statement, values)

    def _read(self, statement: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._database.execute(statement, values).fetchall()

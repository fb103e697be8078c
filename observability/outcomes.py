"""What became of answers: a person accepted, edited or rejected each, or the case was escalated.

Without these records there is cost but no value. An answer whose outcome nobody recorded is unknown, never accepted.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

from foundation.errors import InvalidRequest, did_you_mean
from foundation.storage import translated
from observability import personal_data

if TYPE_CHECKING:
    from observability.evaluation import CaseScore, Report

Verdict = Literal["accepted", "edited", "rejected", "escalated"]
Origin = Literal["production", "evaluation", "simulation"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS outcomes (
  answer_id TEXT PRIMARY KEY,
  verdict TEXT NOT NULL,
  origin TEXT NOT NULL,
  recorded_by TEXT NOT NULL,
  at TEXT NOT NULL,
  minutes REAL,
  note TEXT NOT NULL DEFAULT '',
  tenant TEXT NOT NULL DEFAULT ''
);
"""
COLUMNS = ("answer_id", "verdict", "origin", "recorded_by", "at", "minutes", "note", "tenant")
LATER = {"minutes": "REAL", "note": "TEXT NOT NULL DEFAULT ''", "tenant": "TEXT NOT NULL DEFAULT ''"}
"""Columns that files of earlier versions lack."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one answer was worth to the person who got it."""

    answer_id: str
    verdict: Verdict
    """accepted as it was; edited first; rejected after reading; escalated: the system itself passed the case on."""
    at: datetime
    origin: Origin = "production"
    recorded_by: str = ""
    minutes: float | None = None
    """That a person spent on the case, where somebody recorded them; otherwise the contract's assumption stands."""
    note: str = ""
    """The edited text, or the reason for a rejection; stored without personal data."""
    tenant: str = ""
    """Whose answer it was; empty where it was recorded on the command line."""


class OutcomeStore:
    """Outcomes in one SQLite file, the last one for each answer."""

    def __init__(self, path: Path) -> None:
        """Raises:
        StoreUnavailable: the file cannot be opened.
        """
        self.path = path
        self._lock = threading.Lock()
        with translated(self.path):
            self._database = sqlite3.connect(path, timeout=5, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA secure_delete=ON")
            self._database.executescript(SCHEMA)
            known = {row[1] for row in self._database.execute("PRAGMA table_info(outcomes)")}
            for column in LATER.keys() - known:
                self._database.execute(f"ALTER TABLE outcomes ADD COLUMN {column} {LATER[column]}")

    def record(self, outcome: Outcome) -> Outcome:
        """Store an outcome and give it as it is kept; a later one for the same answer replaces it.

        Raises:
            InvalidRequest: no such verdict, or minutes below zero.
        """
        if outcome.verdict not in get_args(Verdict):
            raise InvalidRequest(f'No verdict "{outcome.verdict}". {did_you_mean(outcome.verdict, get_args(Verdict))}')
        if outcome.minutes is not None and not 0 <= outcome.minutes < float("inf"):
            raise InvalidRequest(f"{outcome.minutes} minutes cannot have been spent. Give a number from 0 up.")
        kept = replace(outcome, note=personal_data.redact(outcome.note))
        values = (
            kept.answer_id, kept.verdict, kept.origin, kept.recorded_by,
            kept.at.astimezone(UTC).isoformat(), kept.minutes, kept.note, kept.tenant,
        )  # fmt: skip
        marks = ", ".join("?" * len(COLUMNS))
        with self._lock, translated(self.path), self._database:
            self._database.execute(
                f"INSERT OR REPLACE INTO outcomes ({', '.join(COLUMNS)}) VALUES ({marks})",  # noqa: S608 - own names
                values,
            )
        return kept

    def all(
        self, *, origin: Origin | None = None, since: datetime | None = None, tenant: str | None = None
    ) -> list[Outcome]:
        """Outcomes in the order of their time."""
        with self._lock, translated(self.path):
            rows = self._database.execute(
                f"SELECT {', '.join(COLUMNS)} FROM outcomes WHERE at >= ? ORDER BY at, answer_id",  # noqa: S608 - own names
                (since.astimezone(UTC).isoformat() if since else "",),
            ).fetchall()
        found = [
            Outcome(
                answer,
                cast("Verdict", verdict),
                datetime.fromisoformat(at),
                cast("Origin", made),
                by,
                minutes,
                note,
                owner,
            )
            for answer, verdict, made, by, at, minutes, note, owner in rows
        ]
        return [
            outcome
            for outcome in found
            if (origin is None or outcome.origin == origin) and (tenant is None or outcome.tenant == tenant)
        ]

    def erase(self, answer_ids: Iterable[str], subject: str) -> int:
        """Take out what was said of these answers, and what and who one person said it of any; the verdicts stay."""
        with self._lock, translated(self.path), self._database:
            done = self._database.execute(
                "UPDATE outcomes SET note = '', recorded_by = 'erased' WHERE recorded_by = ?", (subject,)
            ).rowcount
            for answer_id in answer_ids:
                done += self._database.execute(
                    "UPDATE outcomes SET note = '' WHERE answer_id = ? AND note != ''", (answer_id,)
                ).rowcount
        return done

    def close(self) -> None:
        with self._lock:
            self._database.close()


def outcomes_of(report: Report, *, at: datetime) -> list[Outcome]:
    """Stand-ins for outcomes, from an evaluation instead of from people; their origin says so.

    A right answer counts as accepted, a prepared effect as edited (a person still has to decide), a refusal as
    escalated, right or not, because a person then does the work, and everything else as rejected.
    """
    return [
        Outcome(row.answer_id or row.case.id, verdict, at, "evaluation", "golden set")
        for row, verdict in zip(report.rows, _verdicts(report.rows), strict=True)
    ]


def _verdicts(rows: Iterable[CaseScore]) -> Iterator[Verdict]:
    for row in rows:
        if row.measures.get("leaked"):
            yield "rejected"
        elif row.status in ("abstained", "refused", "escalated"):
            yield "escalated"
        elif row.passed:
            yield "edited" if row.status == "waiting" else "accepted"
        else:
            yield "rejected"

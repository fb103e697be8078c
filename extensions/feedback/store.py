"""Outcomes of answers: a person accepted, edited or rejected each, or the case was escalated. Without one, an answer is unknown."""

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from foundation.errors import InvalidRequest, did_you_mean
from foundation.output.credentials import mask_text
from foundation.stores.registry import Person
from foundation.stores.sqlite_file import Open, SqliteFile, SqliteStore
from foundation.types import Principal, Scope

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
CREATE TABLE IF NOT EXISTS outcome_scopes (
  answer_id TEXT PRIMARY KEY,
  groups_seen TEXT NOT NULL,
  classes_seen TEXT NOT NULL
);
"""


def _erase(connection: sqlite3.Connection, person: Person) -> int:
    theirs = {"tenant": person.tenant, "subject": person.subject, "answers": json.dumps(sorted(person.answers))}
    of_theirs = "answer_id IN (SELECT value FROM json_each(:answers))"
    by_them = f"recorded_by = :subject AND (tenant = :tenant OR (tenant = '' AND {of_theirs}))"
    statements = (
        f"UPDATE outcomes SET note = '', recorded_by = 'erased' WHERE {by_them}",  # noqa: S608 - own words
        f"UPDATE outcomes SET note = '' WHERE note != '' AND {of_theirs}",  # noqa: S608 - own words
    )
    return sum(connection.execute(statement, theirs).rowcount for statement in statements)


FILE = "outcomes.sqlite"
STORE = SqliteStore(
    name="outcomes",
    file=FILE,
    schema=SCHEMA,
    erase_rows=_erase,
    erased="feedback that they gave, and feedback on their answers",
    stays="the verdicts without a name: they are counted",
    shared=True,
)
STORES = (STORE,)


@dataclass(frozen=True, slots=True)
class Outcome:
    answer_id: str
    verdict: Verdict
    """accepted as it was; edited before use; rejected; escalated: passed on to a person."""
    at: datetime
    origin: Origin = "production"
    recorded_by: str = ""
    minutes: float | None = None
    """Minutes that a person spent on the case; `None` uses the contract's assumption."""
    note: str = ""
    """The edited text, or the reason for a rejection."""
    tenant: str = ""
    """Tenant of the answer; empty where it was recorded on the command line."""


def verdicts_of(outcomes: Iterable[Outcome]) -> dict[str, str]:
    """Return what became of each answer, by its id."""
    return {outcome.answer_id: outcome.verdict for outcome in outcomes}


class OutcomeStore:
    """Outcomes, the latest for each answer."""

    def __init__(self, path: Path, records: Open = SqliteFile, *, clean: Callable[[str], str] = mask_text) -> None:
        """`clean` is what notes pass before they are stored. Raises StoreUnavailable: the file cannot be opened."""
        self.path, self._clean = path, clean
        self._file = records(path, STORE, make_folder=False)

    def record(self, outcome: Outcome, *, scope: Scope | None = None) -> Outcome:
        """Store an outcome and return it as stored. It replaces an earlier one of the same answer. `scope`: what whoever wrote
        the note may see, so whoever else reads it must see as much; without it nobody else does.
        Raises InvalidRequest: unknown verdict, or negative or infinite minutes.
        """
        if outcome.verdict not in get_args(Verdict):
            raise InvalidRequest(f'No verdict "{outcome.verdict}". {did_you_mean(outcome.verdict, get_args(Verdict))}')
        if outcome.minutes is not None and not 0 <= outcome.minutes < float("inf"):
            raise InvalidRequest(f"{outcome.minutes} minutes cannot have been spent. Give a number from 0 up.")
        stored = replace(outcome, note=self._clean(outcome.note))
        row = asdict(stored) | {"at": stored.at.astimezone(UTC).isoformat()}
        insert = f"INSERT INTO outcomes ({', '.join(row)}) VALUES (:{', :'.join(row)})"  # noqa: S608 - own names
        replaced = ", ".join(f"{name} = excluded.{name}" for name in row)
        statement = f"{insert} ON CONFLICT (answer_id) DO UPDATE SET {replaced}"
        seen = scope and (stored.answer_id, *(json.dumps(it) for it in (sorted(scope.groups), _listed(scope.classes))))

        def insert_both(connection: sqlite3.Connection) -> None:
            connection.execute(statement, row)
            connection.execute("DELETE FROM outcome_scopes WHERE answer_id = ?", (stored.answer_id,))
            if seen:
                connection.execute("INSERT INTO outcome_scopes VALUES (?, ?, ?)", seen)

        self._file.run_now(insert_both)
        return stored

    def seen_by(self, caller: Principal, scope: Scope, own: Collection[str], *, judges: bool) -> list[Outcome]:
        """Return the outcomes of the answers in `own` and what the caller said of others; to who judges, those of the whole
        tenant, with their notes where `scope` has all that their writer may see.
        """
        rows = self._file.read_now(lambda connection: connection.execute("SELECT * FROM outcome_scopes").fetchall())
        scopes = {answer_id: Scope(scope.tenant, *_read_scope(*seen)) for answer_id, *seen in map(tuple, rows)}
        shown = []
        for outcome in self.all(tenant=caller.tenant):
            if outcome.answer_id in own or outcome.recorded_by == caller.subject:
                shown.append(outcome)
            elif judges:
                written = scopes.get(outcome.answer_id)
                shown.append(outcome if written and _sees_all_of(scope, written) else replace(outcome, note=""))
        return shown

    def all(self, *, tenant: str | None = None) -> list[Outcome]:
        """Return what people recorded, in order of time."""
        statement = (
            "SELECT * FROM outcomes WHERE origin = 'production' AND tenant = coalesce(?, tenant) ORDER BY at, answer_id"
        )
        rows = self._file.read_now(lambda connection: connection.execute(statement, (tenant,)).fetchall())
        return [Outcome(**{**dict(row), "at": datetime.fromisoformat(row["at"])}) for row in rows]

    def close(self) -> None:
        self._file.close()


def _listed(classes: frozenset[str] | None) -> list[str] | None:
    return None if classes is None else sorted(classes)


def _sees_all_of(scope: Scope, other: Scope) -> bool:
    """Whether every document that `other` admits may be shown in `scope`, too."""
    classes = scope.classes is None or (other.classes is not None and scope.classes >= other.classes)
    return scope.tenant == other.tenant and scope.groups >= other.groups and classes


def _read_scope(groups: str, classes: str) -> tuple[frozenset[str], frozenset[str] | None]:
    listed = json.loads(classes)
    return frozenset(json.loads(groups)), None if listed is None else frozenset(listed)

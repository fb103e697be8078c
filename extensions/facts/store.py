"""Facts about a person, remembered beyond one conversation. The person can list, correct and erase them.

The tool `remember` writes a fact through the executor, in the person's own words or with an approval. Facts help to search;
they do not count as the person's words, so they cannot steer an effect.
"""

import sqlite3
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from foundation.clock import Clock
from foundation.errors import InvalidRequest, NotFound
from foundation.stores.registry import Person
from foundation.stores.sqlite_file import Open, SqliteFile, SqliteStore
from foundation.types import Principal
from orchestration.contract import PersonalMemory
from orchestration.requests import Noun

# The file, in the data folder
FILE = "facts.sqlite"
CHARACTERS = 300
# Most facts of one person
MOST = 100

SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (
    fact_id TEXT PRIMARY KEY,
    tenant  TEXT NOT NULL,
    subject TEXT NOT NULL,
    key     TEXT NOT NULL UNIQUE,
    body    TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS facts_by_person ON facts (tenant, subject);
"""


class Fact(Noun):
    """A statement about a person that is remembered beyond one conversation."""

    fact_id: str
    text: str
    at: datetime
    """The time when it was stated or corrected."""
    approved_by: str = ""
    """Subject of the person who approved it; empty where it was in the person's own words."""


def _erase(connection: sqlite3.Connection, person: Person) -> int:
    theirs = (person.tenant, person.subject)
    return connection.execute("DELETE FROM facts WHERE tenant = ? AND subject = ?", theirs).rowcount


STORE = SqliteStore(
    name="facts", file=FILE, schema=SCHEMA, erase_rows=_erase, erased="what was remembered of them", shared=True
)
STORES = (STORE,)


class SqliteFacts(PersonalMemory):
    def __init__(
        self, path: Path, clock: Clock, new_id: Callable[[], str] | None = None, records: Open = SqliteFile
    ) -> None:
        self._file = records(path, STORE)
        self._clock, self.new_id = clock, new_id or (lambda: uuid4().hex)

    def add(self, principal: Principal, text: str, *, approved_by: str = "", key: str = "") -> Fact:
        """Store and return a fact, once for each `key`. Raises InvalidRequest: the text is blank or too long, or there are `MOST`."""
        fact = Fact(fact_id=self.new_id(), text=_check_text(text), at=self._clock.now(), approved_by=approved_by)
        with self._file.transaction() as connection:
            existing = connection.execute("SELECT body FROM facts WHERE key = ?", (key,)).fetchone()
            if existing:
                return Fact.model_validate_json(existing["body"])
            if len(_of(connection, principal)) >= MOST:
                raise InvalidRequest(f"{MOST} facts about you are kept already. Erase one that is no longer true.")
            row = (fact.fact_id, principal.tenant, principal.subject, key or fact.fact_id, fact.model_dump_json())
            connection.execute("INSERT INTO facts VALUES (?, ?, ?, ?, ?)", row)
        return fact

    def of(self, principal: Principal) -> list[Fact]:
        """Return the person's facts, oldest first."""
        with self._file.transaction() as connection:
            return _of(connection, principal)

    def texts_of(self, principal: Principal) -> list[str]:
        return [fact.text for fact in self.of(principal)]

    def correct(self, fact_id: str, text: str, principal: Principal) -> Fact:
        """Replace the text of a fact by the person's own words. Raises NotFound; InvalidRequest as `add`."""
        changed = {"text": _check_text(text), "at": self._clock.now(), "approved_by": ""}
        with self._file.transaction() as connection:
            stored = next((fact for fact in _of(connection, principal) if fact.fact_id == fact_id), None)
            if stored is None:
                raise _not_found(fact_id)
            fact = stored.model_copy(update=changed)
            connection.execute("UPDATE facts SET body = ? WHERE fact_id = ?", (fact.model_dump_json(), fact_id))
        return fact

    def erase(self, fact_id: str, principal: Principal) -> None:
        """Erase a fact. Raises NotFound: the person has no such fact."""
        mine = (fact_id, principal.tenant, principal.subject)
        with self._file.transaction() as connection:
            sql = "DELETE FROM facts WHERE fact_id = ? AND tenant = ? AND subject = ?"
            if not connection.execute(sql, mine).rowcount:
                raise _not_found(fact_id)

    def erase_all(self, tenant: str, subject: str) -> int:
        with self._file.transaction() as connection:
            return _erase(connection, Person(tenant=tenant, subject=subject))

    def close(self) -> None:
        self._file.close()


def _of(connection: sqlite3.Connection, principal: Principal) -> list[Fact]:
    sql = "SELECT body FROM facts WHERE tenant = ? AND subject = ? ORDER BY rowid"
    rows = connection.execute(sql, (principal.tenant, principal.subject))
    return [Fact.model_validate_json(row["body"]) for row in rows]


def _check_text(text: str) -> str:
    text = " ".join(text.split())
    if not text or len(text) > CHARACTERS:
        raise InvalidRequest(f"A fact has 1 to {CHARACTERS} characters; found {len(text)}. Say it in one sentence.")
    return text


def _not_found(fact_id: str) -> NotFound:
    return NotFound(f"There is no fact {fact_id} about you.")

# ruff: noqa: S608 - statements are put together from constants; every value is bound
"""The numbers of a ledger's changes, by which a vector index catches up, whichever database keeps them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

REMEMBERED = 100_000
"""Numbers for which deletions and stamps are kept. An index that is further behind is filled anew, which costs no more than
following so many changes."""


class Numbers:
    """Draws the next numbers within a transaction. `mark` is how the database spells a bound value."""

    def __init__(self, connection: Any, mark: str) -> None:
        self._connection, self._mark = connection, mark
        self._first = self._last = last_number(connection)

    def __next__(self) -> int:
        self._last += 1
        return self._last

    def save(self) -> None:
        """Stamp the transaction, and forget what only an index far behind would ask for."""
        if self._last > self._first:
            self._connection.execute(
                f"INSERT INTO commits VALUES ({self._mark}, {self._mark})", (self._last, uuid4().hex)
            )
            for table in ("commits", "deletions"):
                self._connection.execute(
                    f"DELETE FROM {table} WHERE sequence <= {self._mark}", (self._last - REMEMBERED,)
                )


def last_number(connection: Any) -> int:
    """Of the last committed change; 0 where there is none."""
    return int(connection.execute("SELECT coalesce(max(sequence), 0) FROM commits").fetchone()[0])

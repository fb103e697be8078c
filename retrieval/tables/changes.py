# ruff: noqa: S608 - statements are put together from constants; every value is bound
"""The numbers of a ledger's changes, by which a vector index catches up, whichever database keeps them."""

from __future__ import annotations

from uuid import uuid4

from retrieval.tables.connection import TablesConnection

REMEMBERED = 100_000
"""Numbers for which deletions and stamps are kept. An index that is further behind is filled anew, which costs no more than
following so many changes."""


class Numbers:
    """Draws the next numbers within a transaction."""

    def __init__(self, connection: TablesConnection) -> None:
        self._connection = connection
        self._first = self._last = last_number(connection)

    def __next__(self) -> int:
        self._last += 1
        return self._last

    def save(self) -> None:
        """Stamp the transaction, and forget what only an index far behind would ask for."""
        if self._last > self._first:
            stamped = {"last": self._last, "stamp": uuid4().hex}
            self._connection.execute("INSERT INTO commits VALUES (:last, :stamp)", stamped)
            for table in ("commits", "deletions"):
                forgotten = {"last": self._last - REMEMBERED}
                self._connection.execute(f"DELETE FROM {table} WHERE sequence <= :last", forgotten)


def last_number(connection: TablesConnection) -> int:
    """Of the last committed change; 0 where there is none."""
    return int(connection.execute("SELECT coalesce(max(sequence), 0) FROM commits").fetchone()[0])

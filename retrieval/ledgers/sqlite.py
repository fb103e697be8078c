# ruff: noqa: S608 - statements are put together from constants of this file; every value is bound
"""The document ledger in one SQLite file, with the keyword index (FTS5) in the same transactions.

Durability is SQLite's: write-ahead log, `synchronous=FULL`. One writer at a time; readers never wait for it. Every
chunk and every deletion gets the next number of one sequence, by which a vector index catches up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field

from foundation.clock import Clock
from foundation.components import Context
from foundation.settings import Section
from foundation.stores.crashpoints import crash_point
from foundation.stores.sqlite_file import BUSY_TIMEOUT_S, SqliteFile, SqliteStore
from retrieval.documents import DOCUMENTS_STAY
from retrieval.tables.ledger import TablesLedger
from retrieval.tables.sqlite_tables import SqliteTables, make_tables, set_up

# All matches are ranked first, and access is checked from the best on until there are enough; checking every match
# takes twice as long. `LIMIT -1` keeps SQLite from merging the two steps.
_SEARCH = f"""
  SELECT c.chunk_id, ranked.score, c.document_id
  FROM (
    SELECT rowid AS sequence, -bm25(search) AS score FROM search
    WHERE search MATCH :expression ORDER BY score DESC, rowid LIMIT -1
  ) AS ranked
  CROSS JOIN chunks AS c ON c.sequence = ranked.sequence
  CROSS JOIN documents AS d ON d.document_id = c.document_id
  WHERE {SqliteTables.conditions.in_scope} AND {SqliteTables.conditions.in_force} /* where */ LIMIT :limit"""


class Options(Section):
    file: str = "ledger.sqlite"
    """The file, relative to the data folder."""
    busy_timeout_s: float = Field(default=BUSY_TIMEOUT_S, ge=0)
    """Seconds to wait for another process that is writing."""


class SqliteLedger(TablesLedger):
    """A `DocumentLedger`. Safe to share between threads; several processes may read while one writes."""

    tables, _search = SqliteTables, _SEARCH

    def __init__(self, path: Path, options: Options, clock: Clock) -> None:
        super().__init__(clock)
        self._path, self._options = path, options
        self._database = SqliteFile(path, store_in(options), timeout_s=options.busy_timeout_s, set_up=set_up)
        try:
            self._database.read_now(lambda connection: make_tables(connection, path))
        except BaseException:
            self._database.close()
            raise

    def beside(self, *, fresh: bool = False) -> SqliteLedger:
        if fresh:
            self._remove_beside()
        return SqliteLedger(self._beside_path, self._options, self._clock)

    @property
    def _beside_path(self) -> Path:
        return self._path.with_name(f"{self._path.stem}-reindex{self._path.suffix}")

    def _remove_beside(self) -> None:
        with self._database.translate_errors():
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._beside_path}{suffix}").unlink(missing_ok=True)

    def _bind_words(self, words: Sequence[str]) -> dict[str, Any]:
        """Bind the words joined by OR, each quoted so that none is FTS5 syntax. A repeated word counts twice."""
        return {"expression": " OR ".join(f'"{word}"' for word in words)}

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def _reading(self, *, steady: bool = False) -> Iterator[SqliteTables]:
        del steady  # each statement reads a snapshot
        with self._database.reading() as connection:
            yield SqliteTables(connection)

    @contextmanager
    def _writing(self, *, patient: bool = False) -> Iterator[SqliteTables]:
        del patient  # nothing here has a limit of time
        with self._database.transaction() as connection:
            yield SqliteTables(connection)
            crash_point("before_commit")


def build(options: Options, context: Context) -> SqliteLedger:
    return SqliteLedger(context.data_dir / options.file, options, context.clock)


def stores(options: Options) -> tuple[SqliteStore, ...]:
    return (store_in(options),)


def store_in(options: Options) -> SqliteStore:
    """Describe the store: the ledger, and the one of a reindex beside it."""
    beside = Path(options.file).with_name(f"{Path(options.file).stem}-reindex{Path(options.file).suffix}")
    return SqliteStore(name="documents", file=options.file, files=(f"{beside}*",), stays=DOCUMENTS_STAY)

# ruff: noqa: S608 - statements are put together from constants of this file; every value is bound
"""The document ledger in PostgreSQL, with the keyword index in the same transactions: for several processes or machines.

One transaction writes at a time, across all processes, so that sequence numbers are committed in order; readers never
wait. The keyword index is a table of postings, ranked by BM25 in the query, because `ts_rank` ignores the rarity of
words and the length of passages. Words are prepared by `foundation.text.tokens` and stemmed by the server's Snowball
dictionary, so that both ledgers find the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from foundation.clock import Clock
from foundation.components import Context
from foundation.stores.postgres import Postgres, PostgresOptions, without_time_limit
from foundation.stores.registry import Store
from retrieval.documents import DOCUMENTS_STAY
from retrieval.tables.ledger import TablesLedger
from retrieval.tables.postgres_tables import PostgresTables, fold_word, make_tables

# BM25 with the parameters of SQLite's FTS5: k1 is 1.2, b 0.75
_SEARCH = f"""
  WITH asked AS (
    SELECT stem(word) AS term, count(*) AS times FROM unnest(:words::text[]) AS word GROUP BY 1
  ), matches AS (
    SELECT p.sequence, p.frequency, p.length, a.times, count(*) OVER (PARTITION BY p.term) AS holders
    FROM asked AS a JOIN postings AS p ON p.term = a.term
  ), ranked AS MATERIALIZED (
    SELECT m.sequence, sum(
      m.times * ln(1 + (t.chunks - m.holders + 0.5) / (m.holders + 0.5)::float8)
      * m.frequency * 2.2 / (m.frequency + 1.2 * (0.25 + 0.75 * m.length * t.chunks / t.words::float8))
    ) AS score
    FROM matches AS m CROSS JOIN totals AS t GROUP BY m.sequence
  )
  SELECT c.chunk_id, r.score, c.document_id
  FROM ranked AS r
  JOIN chunks AS c ON c.sequence = r.sequence
  JOIN documents AS d ON d.document_id = c.document_id
  WHERE {PostgresTables.conditions.in_scope} AND {PostgresTables.conditions.in_force} /* where */
  ORDER BY r.score DESC, c.chunk_id LIMIT :limit"""


STORE = Store(name="documents", stays=DOCUMENTS_STAY)


class Options(PostgresOptions):
    pass


class PostgresLedger(TablesLedger):
    """A `DocumentLedger`. Safe to share between threads, processes and machines."""

    tables, _search = PostgresTables, _SEARCH

    def __init__(self, options: Options, clock: Clock) -> None:
        super().__init__(clock)
        self._options = options
        self._database = Postgres(options, make_tables, STORE)

    def beside(self, *, fresh: bool = False) -> PostgresLedger:
        if fresh:
            self._remove_beside()
        return PostgresLedger(self._options.model_copy(update={"namespace": self._beside_namespace}), self._clock)

    @property
    def _beside_namespace(self) -> str:
        return f"{self._options.namespace[:55]}_reindex"

    def _remove_beside(self) -> None:
        with self._database.transaction() as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {self._beside_namespace} CASCADE".encode())

    def _bind_words(self, words: Sequence[str]) -> dict[str, Any]:
        return {"words": list(map(fold_word, words))}

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def _reading(self, *, steady: bool = False) -> Iterator[PostgresTables]:
        with self._database.transaction() as connection:
            if steady:
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield PostgresTables(connection)

    @contextmanager
    def _writing(self, *, patient: bool = False) -> Iterator[PostgresTables]:
        with (
            self._database.transaction() as connection,
            without_time_limit(connection) if patient else nullcontext(),
        ):
            connection.execute("LOCK TABLE commits IN EXCLUSIVE MODE")  # lets readers pass
            yield PostgresTables(connection)


def build(options: Options, context: Context) -> PostgresLedger:
    return PostgresLedger(options, context.clock)


def stores(options: Options) -> tuple[Store, ...]:  # noqa: ARG001 - the signature of every adapter
    return (STORE,)

# ruff: noqa: S608 - statements are put together from constants of this file; every value is bound
"""A vector index in PostgreSQL with pgvector, shared by processes and machines and safe against crashes.

An HNSW graph is scanned until enough vectors pass the filter (`hnsw.iterative_scan`); pgvector gives up after
`hnsw.max_scan_tuples`, and then the few vectors of a narrow scope are searched exactly. So a filter never makes a
search return fewer than there are. Needs pgvector 0.8 (Debian: postgresql-17-pgvector).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from langchain_core.utils.iter import batch_iterate
from pydantic import Field

from extensions.postgres.database import Postgres, PostgresOptions, encode_text, without_time_limit
from foundation.components import Context
from foundation.errors import StoreUnavailable
from foundation.stores.registry import Store
from foundation.types import EVERY_TENANT, Scope
from retrieval.documents import DOCUMENTS_STAY, VectorItem, Vectors
from retrieval.filters import Leaf, OneOf, Where, bind_filter, simplify, stored_attributes

if TYPE_CHECKING:
    from extensions.postgres.database import Connection

_BATCH = 1000
# Most dimensions that pgvector can index. Longer vectors are searched exactly.
_MOST_INDEXED = 2000
_MOST_BREADTH = 1000

_TABLE = """
  CREATE TABLE IF NOT EXISTS vectors (
    chunk_id text COLLATE "C" PRIMARY KEY, tenant text COLLATE "C" NOT NULL, groups text[] COLLATE "C" NOT NULL,
    embedding vector({}) NOT NULL, attributes jsonb NOT NULL)"""
_UPSERT = """
  INSERT INTO vectors VALUES (%s, %s, %s, %s, %s::jsonb) ON CONFLICT (chunk_id) DO UPDATE
  SET tenant = excluded.tenant, groups = excluded.groups, embedding = excluded.embedding, attributes = excluded.attributes"""
_PREPARE_SEARCH = """
  SELECT to_regclass('vectors'), set_config('hnsw.ef_search', %s, true),
    set_config('hnsw.iterative_scan', 'strict_order', true)"""
_SEARCH = f"""
  SELECT chunk_id, 1 - (embedding <=> %(vector)s) AS similarity FROM vectors
  WHERE tenant IN (%(tenant)s, '{EVERY_TENANT}') AND (groups = '{{}}' OR groups && %(groups)s) /* where */
  ORDER BY embedding <=> %(vector)s LIMIT %(limit)s"""


_NO_TABLE = "42P01"


STORE = Store(name="vectors", stays=DOCUMENTS_STAY)


class Options(PostgresOptions):
    max_neighbors: int = Field(default=16, ge=2, le=100)
    ef_construction: int = Field(default=128, ge=4, le=1000)
    ef_search: int = Field(default=200, ge=1, le=_MOST_BREADTH)
    """HNSW parameters; the first two take effect when the index is rebuilt."""


class PgVectorIndex:
    """See `retrieval.contract.VectorIndex`. The table is made with the first vectors, whose length it takes."""

    def __init__(self, options: Options) -> None:
        from pgvector.psycopg import register_vector

        self._options = options
        self._database = Postgres(options, _prepare, STORE, types=register_vector)

    def upsert(self, items: Iterable[VectorItem]) -> None:
        for batch in batch_iterate(_BATCH, items):
            rows = {item.chunk_id: _row(item) for item in batch}
            with self._database.transaction() as connection, connection.cursor() as cursor:
                if not _is_made(connection, "vectors"):
                    _one(connection, "SELECT 1 FROM vectors_state FOR UPDATE")  # one maker at a time
                    connection.execute(_TABLE.format(len(batch[0].vector)))
                cursor.executemany(_UPSERT, list(rows.values()))
        self._index()

    def delete(self, chunk_ids: Iterable[str]) -> None:
        for batch in batch_iterate(_BATCH, chunk_ids):
            with self._database.transaction() as connection:
                if _is_made(connection, "vectors"):
                    connection.execute("DELETE FROM vectors WHERE chunk_id = ANY(%s)", (batch,))

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        wanted = simplify(where)
        if limit < 1 or scope.sees_nothing or wanted is False:
            return []
        values = {"vector": vector, "tenant": scope.tenant, "groups": sorted(scope.groups), "limit": limit}
        condition, bound = bind_filter(wanted, "%({})s", _filter_leaf)
        query, values = _SEARCH.replace("/* where */", condition), values | bound
        breadth = min(max(self._options.ef_search, 2 * limit), _MOST_BREADTH)
        try:
            with self._database.transaction() as connection:
                if _one(connection, _PREPARE_SEARCH, (str(breadth),)) is None:
                    return []
                rows = connection.execute(query, values).fetchall()
                if len(rows) < limit:  # the graph gave too few permitted hits: search these exactly
                    connection.execute("SET LOCAL enable_indexscan = off")
                    rows = connection.execute(query, values).fetchall()
        except StoreUnavailable as error:
            if getattr(error.__cause__, "sqlstate", None) == _NO_TABLE:  # another process has just cleared it
                return []
            raise
        return sorted(rows, key=lambda hit: (-hit[1], hit[0]))

    def sequence(self) -> int:
        with self._database.transaction() as connection:
            return int(_one(connection, "SELECT sequence FROM vectors_state"))

    def version_token(self) -> str:
        with self._database.transaction() as connection:
            return str(_one(connection, "SELECT stamp FROM vectors_state"))

    def set_sequence(self, sequence: int, version_token: str = "") -> None:
        with self._database.transaction() as connection:
            connection.execute("UPDATE vectors_state SET sequence = %s, stamp = %s", (sequence, version_token))

    @contextmanager
    def exclusive(self, *, patient: bool = False) -> Iterator[None]:
        """Lock the index in the server; the lock ends with the connection."""
        with self._database.transaction() as connection:
            lock = "SELECT pg_advisory_xact_lock('vectors_state'::regclass::oid::bigint)"
            with without_time_limit(connection) if patient else nullcontext():
                connection.execute(lock)
            yield

    def count(self) -> int:
        with self._database.transaction() as connection:
            return int(_one(connection, "SELECT count(*) FROM vectors")) if _is_made(connection, "vectors") else 0

    def clear(self) -> None:
        with self._database.transaction() as connection:
            connection.execute("DROP TABLE IF EXISTS vectors")
            connection.execute("UPDATE vectors_state SET sequence = 0, stamp = ''")

    def close(self) -> None:
        self._database.close()

    def _index(self) -> None:
        # Building the index after the first vectors is several times faster than before; until then, searches are exact
        with self._database.transaction() as connection:
            if not _is_made(connection, "vectors") or _is_made(connection, "vectors_by_direction"):
                return
            with without_time_limit(connection):
                _one(connection, "SELECT 1 FROM vectors_state FOR UPDATE")
                connection.execute("CREATE INDEX IF NOT EXISTS vectors_by_tenant ON vectors USING hash (tenant)")
                if _one(connection, "SELECT vector_dims(embedding) FROM vectors LIMIT 1") <= _MOST_INDEXED:
                    connection.execute(
                        f"""CREATE INDEX IF NOT EXISTS vectors_by_direction ON vectors USING hnsw (embedding vector_cosine_ops)
                        WITH (m = {self._options.max_neighbors}, ef_construction = {self._options.ef_construction})"""
                    )
                connection.execute("ANALYZE vectors")


def build(options: Options, context: Context) -> PgVectorIndex:  # noqa: ARG001 - the signature of every adapter
    return PgVectorIndex(options)


def stores(options: Options) -> tuple[Store, ...]:  # noqa: ARG001 - the signature of every adapter
    return (STORE,)


def _prepare(connection: Connection) -> None:
    connection.execute("CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS vectors_state (one boolean PRIMARY KEY, sequence bigint NOT NULL, stamp text NOT NULL)"
    )
    connection.execute("INSERT INTO vectors_state VALUES (true, 0, '') ON CONFLICT DO NOTHING")


def _row(item: VectorItem) -> tuple[Any, ...]:
    attributes = {
        encode_text(name): encode_text(value) if isinstance(value, str) else value
        for name, value in stored_attributes(item.attributes).items()
    }
    return item.chunk_id, item.tenant, sorted(item.groups), item.vector, json.dumps(attributes)


def _filter_leaf(leaf: Leaf, bind: Callable[[Any], str]) -> str:
    value = f"(attributes ->> {bind(leaf.name)}::text)"
    if isinstance(leaf, OneOf):
        kind = "text" if isinstance(leaf.stored_values[0], str) else "float8"
        return f"{value}::{kind} = ANY({bind(leaf.stored_values)}::{kind}[])"
    low, high = map(bind, leaf.ends)
    return f"{value}::float8 BETWEEN {low}::float8 AND {high}::float8"


def _is_made(connection: Connection, table: str) -> bool:
    return _one(connection, "SELECT to_regclass(%s)", (table,)) is not None


def _one(connection: Connection, query: str, values: tuple[Any, ...] = ()) -> Any:
    row = connection.execute(query, values).fetchone()
    return row[0] if row else None

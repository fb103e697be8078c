"""Checkpoints in PostgreSQL, which several processes can share."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.postgres import PostgresSaver

from extensions.postgres.database import Postgres, PostgresOptions
from foundation.components import Context
from foundation.stores.registry import Store
from orchestration.run.threaded_saver import ERASED, ERASED_BUT, ThreadedSaver, plain_data_only

if TYPE_CHECKING:
    from extensions.postgres.database import Connection


STORE = Store(
    name="conversations",
    erase=lambda *_: 0,  # the threads themselves are deleted through the port, before this is called
    erased=ERASED,
    stays=f"{ERASED_BUT}; what PostgreSQL itself keeps of deleted rows: VACUUM FULL the tables named checkpoint..., and mind its log and backups",
)


class Options(PostgresOptions):
    pass


class PostgresCheckpoints(ThreadedSaver, PostgresSaver):
    """`PostgresSaver` on a pool, with async methods, strict deserialisation, and our errors."""

    def __init__(self, options: Options) -> None:
        self._database = Postgres(options, _migrate, STORE, autocommit=True, prepare_threshold=0)
        super().__init__(self._database.pool, serde=plain_data_only())
        self.lock: Any = nullcontext()  # it is meant for a single connection; each thread has its own from the pool

    def translate_errors(self) -> AbstractContextManager[None]:
        return self._database.translate_errors()

    def close(self) -> None:
        self._database.close()


def build(options: Options, context: Context) -> PostgresCheckpoints:
    del context  # everything it keeps is in the database
    return PostgresCheckpoints(options)


def stores(options: Options) -> tuple[Store, ...]:  # noqa: ARG001 - the signature of every adapter
    return (STORE,)


def _migrate(connection: Connection) -> None:
    # not `PostgresSaver.setup`: unsafe when two processes run it at once, and its CONCURRENTLY fails in a transaction
    first, *_ = PostgresSaver.MIGRATIONS
    connection.execute(first)
    done = connection.execute("SELECT coalesce(max(v), -1) FROM checkpoint_migrations").fetchone()
    for version, migration in enumerate(PostgresSaver.MIGRATIONS):
        if done and version > done[0]:
            connection.execute(migration.replace("CONCURRENTLY", ""))
            connection.execute("INSERT INTO checkpoint_migrations VALUES (%s)", (version,))

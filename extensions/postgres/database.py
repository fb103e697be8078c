"""A PostgreSQL database for parts: pooled connections, storage of any text, and our own errors."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from foundation.errors import InvalidRequest, StorageFull, StoreUnavailable
from foundation.machine.outages import Outage
from foundation.stores.registry import Store

if TYPE_CHECKING:  # the real imports stand where they are used: a part's options can be read without the package
    import psycopg
    from psycopg_pool import ConnectionPool

    Connection = psycopg.Connection[Any]

# one for all pools, which mostly share a server
OUTAGE = Outage("PostgreSQL")
logging.getLogger("psycopg.pool").addFilter(OUTAGE)
# When the outage of a server began, by its dsn: all pools share one wait for it
DOWN_SINCE = dict[str, float]()
# Seconds to wait for a server that has been down for long: enough to connect where it is back
LEAST_S = 1.0
# Seconds between attempts to connect while somebody waits
AGAIN_S = 0.2


class PostgresOptions(BaseModel):
    """Options of every part in PostgreSQL. Parts may share a database and a namespace."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dsn: SecretStr = SecretStr("")
    """A connection string or URL; missing values come from the environment, as with psql (PGHOST, PGPASSWORD ...)."""
    namespace: str = Field(default="sixply", pattern="^[a-z_][a-z0-9_]{0,62}$")
    """The schema of the tables, created if missing."""
    connections: int = Field(default=10, ge=2)
    """Most connections. A stream of rows holds one while it is read."""
    connect_timeout_s: int = Field(default=5, ge=1)
    """Seconds to wait for a new or a free connection. In an outage that has lasted longer, a request waits one second."""
    timeout_s: float = Field(default=30, gt=0)
    """Time limit of one statement, including the wait for another writer."""


class Postgres:
    """A pool of connections to the namespace. Safe to share between threads; bound to no event loop."""

    def __init__(
        self,
        options: PostgresOptions,
        prepare: Callable[[Connection], object],
        store: Store,
        *,
        types: Callable[[Connection], None] | None = None,
        idle: int = 1,
        **settings: Any,
    ) -> None:
        """`prepare` creates what is missing, in one transaction, exclusive among all processes. `types` registers types
        with a new connection, which gets `settings`; `idle` connections stay open. Raises StoreUnavailable.
        """
        self._options, self.store, self._dsn = options, store, options.dsn.get_secret_value()
        self._types: Callable[[Connection], None] | None = None
        self.name = "The PostgreSQL database"
        with self.translate_errors():
            self._prepare(prepare)
            self._types = types
            self.pool: ConnectionPool[Connection] = _pool_class()(
                self._dsn,
                connection_class=_giving_up_after(options.timeout_s + options.connect_timeout_s),
                kwargs=self._arguments | settings,
                min_size=idle,
                max_size=options.connections,
                timeout=options.connect_timeout_s,
                # its own pauses double, from a second on, whoever waits
                reconnect_timeout=0,
                reconnect_failed=_try_again,
                configure=self._configure,
                check=self._check,  # a restart of the server must not cost an answer
                open=True,
            )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that an exception rolls back. Raises as `translate_errors`."""
        with self.translate_errors(), self.pool.connection() as connection:
            yield connection

    def close(self) -> None:
        """Close the pool. A second call does nothing."""
        self.pool.close()

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Raise StoreUnavailable, StorageFull or, for a lone surrogate, InvalidRequest for psycopg's errors."""
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            raise self._translation(error) from error
        except UnicodeEncodeError as error:
            raise InvalidRequest(
                f"A text holds a character that cannot be stored: {error.reason}. Remove it."
            ) from error

    def _translation(self, error: psycopg.Error) -> StoreUnavailable:
        from psycopg import errors
        from psycopg_pool import PoolClosed, PoolTimeout

        match error:
            case PoolClosed():
                return StoreUnavailable(f"{self.name} was closed by this process. Open the system again.")
            case PoolTimeout():
                return StoreUnavailable(
                    f"{self.name} gave no connection: it is down, or all {self._options.connections} connections are in "
                    "use. Check that it runs, and try again shortly."
                )
            case errors.DiskFull():
                return StorageFull(f"{self.name} has no room left. Nothing was changed; free some space and try again.")
            case errors.QueryCanceled():
                return StoreUnavailable(
                    f"{self.name} did not answer within {self._options.timeout_s:g} s. Try again shortly, or raise timeout_s."
                )
        message = " ".join((error.diag.message_primary or str(error) or type(error).__name__).split()).rstrip(".?")
        return StoreUnavailable(f"{self.name} cannot be used: {message}. {_remedy(error)}")

    def _prepare(self, prepare: Callable[[Connection], object]) -> None:
        import psycopg

        with psycopg.connect(self._dsn, **self._arguments) as connection:
            self._configure(connection)
            self.name = f"The PostgreSQL database {connection.info.dbname} at {connection.info.host or 'this machine'}"
            connection.execute("SET LOCAL statement_timeout = 0")
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('sixply'))")
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {self._options.namespace}".encode())
            prepare(connection)

    def _check(self, connection: Any) -> None:
        before, connection.patience_s = connection.patience_s, _left_s(self.pool)
        try:
            self.pool.check_connection(connection)
        except Exception:
            DOWN_SINCE.setdefault(self._dsn, monotonic())
            self.pool.drain()  # a restart of the server broke the others, too
            raise
        connection.patience_s = before
        DOWN_SINCE.pop(self._dsn, None)

    @property
    def _arguments(self) -> dict[str, Any]:
        return {"connect_timeout": self._options.connect_timeout_s, "application_name": "sixply"}

    def _configure(self, connection: Connection) -> None:
        settings = {
            "search_path": f"{self._options.namespace}, public",
            "statement_timeout": f"{int(self._options.timeout_s * 1000)}",
            "timezone": "UTC",
            "client_min_messages": "warning",
            "plan_cache_mode": "force_custom_plan",  # scopes and limits differ from call to call
        }
        for name, value in settings.items():
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        if self._types:
            self._types(connection)
        if not connection.autocommit:
            connection.commit()
        _take_any_text(connection)
        DOWN_SINCE.pop(self._dsn, None)
        OUTAGE.end()


@cache
def _pool_class() -> Any:
    from psycopg_pool import ConnectionPool, PoolTimeout

    class Pool(ConnectionPool[Any]):
        def getconn(self, timeout: float | None = None) -> Any:
            left_s = timeout or _left_s(self)
            try:
                return super().getconn(left_s)
            except PoolTimeout:
                if left_s >= self.timeout or self.conninfo in DOWN_SINCE:
                    raise
            # the outage is over, and who came before waits as long as ever
            return super().getconn(self.timeout - left_s)

    return Pool


def _left_s(pool: Any) -> float:
    now, patience_s = monotonic(), float(pool.timeout)
    return max(LEAST_S, patience_s - (now - DOWN_SINCE.get(pool.conninfo, now)))


def _try_again(pool: Any) -> None:
    DOWN_SINCE.setdefault(pool.conninfo, monotonic())
    sleep(AGAIN_S)
    if pool.get_stats()["requests_waiting"]:
        pool.check()  # which lets it grow


@contextmanager
def without_time_limit(connection: Connection) -> Iterator[None]:
    """Lift the time limit of statements until the end of the transaction."""
    patience: Any = connection
    before, patience.patience_s = patience.patience_s, None
    try:
        connection.execute("SET LOCAL statement_timeout = 0")
        yield
    finally:
        patience.patience_s = before


def _giving_up_after(seconds: float) -> type[Connection]:
    # the server ends slow statements itself, but psycopg would wait for a silent server for ever
    import psycopg
    from psycopg import errors

    class Connection(psycopg.Connection[Any]):
        patience_s: float | None = seconds

        def wait(self, *arguments: Any, **options: Any) -> Any:
            try:
                return super().wait(*arguments, **{"timeout": self.patience_s, **options})
            except errors._WaitTimeout as error:  # noqa: SLF001 - what `wait` raises at its `timeout`
                self.pgconn.finish()  # late replies of the server would belong to the abandoned statement
                raise errors.QueryCanceled(f"the server was silent for {self.patience_s} s") from error

    return Connection


# PostgreSQL's texts cannot hold U+0000, but documents do. It is encoded as two other characters.

_MARK = "\uffff"
_CODES = {"\0": f"{_MARK}0", _MARK: f"{_MARK}1"}
_CHARACTERS = {code: character for character, code in _CODES.items()}
_CHARACTER, _CODE = re.compile(f"[\0{_MARK}]"), re.compile(f"{_MARK}[01]")


def encode_text(text: str) -> str:
    """Encode a text so that PostgreSQL can store it."""
    return _CHARACTER.sub(lambda match: _CODES[match[0]], text)


def decode_text(text: str) -> str:
    return _CODE.sub(lambda match: _CHARACTERS[match[0]], text) if _MARK in text else text


def _map_texts(value: Any, change: Callable[[str], str]) -> Any:
    match value:
        case str():
            return change(value)
        case dict():
            return {change(key): _map_texts(item, change) for key, item in value.items()}
        case list() | tuple():
            return [_map_texts(item, change) for item in value]
        case _:
            return value


def _take_any_text(connection: Connection) -> None:
    from psycopg.types.json import set_json_dumps, set_json_loads

    dumper, *loaders = _text_adapters()
    connection.adapters.register_dumper(str, dumper)
    for loader in loaders:
        connection.adapters.register_loader("text", loader)
    set_json_dumps(lambda value: json.dumps(_map_texts(value, encode_text)), connection)
    set_json_loads(lambda text: _map_texts(json.loads(text), decode_text), connection)


@cache
def _text_adapters() -> tuple[Any, ...]:
    from psycopg.types.string import StrDumper, TextBinaryLoader, TextLoader

    class AnyTextDumper(StrDumper):
        def dump(self, obj: str) -> Any:
            return super().dump(encode_text(obj))

    def decoding(loader: type[Any]) -> Any:
        return type("AnyTextLoader", (loader,), {"load": lambda self, data: decode_text(str(loader.load(self, data)))})

    return AnyTextDumper, decoding(TextLoader), decoding(TextBinaryLoader)


def _remedy(error: psycopg.Error) -> str:
    from psycopg import OperationalError, errors

    match error:
        case errors.InvalidPassword() | errors.InvalidAuthorizationSpecification():
            return "Correct the user and the password in the part's dsn."
        case errors.InsufficientPrivilege():
            return "Give the user of the part's dsn the right to do that, or name another."
        case errors.FeatureNotSupported() | errors.UndefinedFile():
            return "Install that extension on the server (on Debian: apt-get install postgresql-17-pgvector)."
        case OperationalError():
            return "Check that the server runs, and that the part's dsn in stack.toml leads to it."
        case _:
            return "The server's log says more."

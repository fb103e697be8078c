"""Databases of one's own, SQLite and PostgreSQL, read-only: the tables that the operator names, and in them the caller's rows."""

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from pydantic import Field, SecretStr, model_validator

from extensions.tables.documents import too_slow
from extensions.tables.relations import Relation, Run, SqlColumn, quote
from foundation.errors import InvalidRequest, InvalidSetting, StoreUnavailable
from foundation.settings import Section
from foundation.types import Principal

_NUMERIC = ("int", "real", "floa", "doub", "num", "dec", "money")
_STEPS = 20_000


class TableOptions(Section):
    about: str = ""
    """For the model: what its rows are, in a sentence."""
    tenant_column: str = ""
    """The column with the tenant that owns the row; a caller is shown their tenant's rows alone."""
    group_column: str = ""
    """The column with the group that may read the row; empty in a row: everybody of the tenant."""
    tenants: tuple[str, ...] = ()
    """Tenants that see the whole table, where no column says whose a row is."""
    columns: tuple[str, ...] = ()
    """Columns to offer; none: all but those two."""
    units: Mapping[str, str] = {}

    @model_validator(mode="after")
    def _demand_owner(self) -> Self:
        if not self.tenant_column and not self.tenants:
            raise ValueError('tenant_column = "..." or tenants = [...] has to say who may see its rows')
        return self


class DatabaseOptions(Section):
    """A database: a file of SQLite, or a PostgreSQL server."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")
    file: Path | None = None
    """Beside stack.toml where it is relative."""
    url: SecretStr | None = None
    """postgresql://reader@host/database; let it be a user who may only read."""
    tables: Mapping[str, TableOptions] = Field(min_length=1)

    @model_validator(mode="after")
    def _demand_one(self) -> Self:
        if (self.file is None) == (self.url is None):
            raise ValueError("a database is either a file or a url")
        return self


class Database:
    """One connection for each query, so that none is held by a server that sleeps."""

    def __init__(self, options: DatabaseOptions, timeout_s: float) -> None:
        self.options, self._timeout_s = options, timeout_s

    def relations(self, principal: Principal) -> list[Relation]:
        """Return the tables in which the caller may see rows. Raises StoreUnavailable, InvalidSetting: a table is not there."""
        with self.connect() as run:
            relations = (
                self._relation(run, table, options, principal) for table, options in self.options.tables.items()
            )
            return [relation for relation in relations if relation is not None]

    @contextmanager
    def connect(self) -> Iterator[Run]:
        """Raises StoreUnavailable: the database cannot be reached."""
        with (_open_sqlite if self.options.file else _open_postgres)(self.options, self._timeout_s) as run:
            yield run

    def _relation(self, run: Run, table: str, options: TableOptions, principal: Principal) -> Relation | None:
        if not options.tenant_column and principal.tenant not in options.tenants:
            return None
        kinds = self._columns(run, table)
        own = {options.tenant_column, options.group_column} - {""}
        offered = options.columns or [name for name in kinds if name not in own]
        if missing := [name for name in (*offered, *own) if name not in kinds]:
            raise InvalidSetting(
                f'The table "{table}" of the database "{self.options.name}" has no column "{missing[0]}". It has: {", ".join(kinds)}.'
            )
        rights, values = _rights(options, principal)
        return Relation(
            label=f"{self.options.name}.{table}",
            origin=f"{self.options.name}.{table}",
            fields=[_column(name, kinds[name], options.units.get(name, "")) for name in offered],
            source=".".join(map(quote, table.split("."))),
            rights=rights,
            rights_values=values,
        )

    def _columns(self, run: Run, table: str) -> dict[str, str]:
        if self.options.file:
            found = run("SELECT name, type FROM pragma_table_info(?)", [table])
        else:
            schema, _, name = table.rpartition(".")
            found = run(
                "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = ? AND table_schema = ? ORDER BY ordinal_position",
                [name, schema or "public"],
            )
        if not found:
            raise InvalidSetting(
                f'The database "{self.options.name}" has no table "{table}" that can be read. Correct its name.'
            )
        return {str(name): str(kind).lower() for name, kind in found if "?" not in str(name)}


def _column(name: str, kind: str, unit: str) -> SqlColumn:
    return SqlColumn(name, quote(name), quote(name) if kind.startswith(_NUMERIC) or "int" in kind else "", unit)


def _rights(options: TableOptions, principal: Principal) -> tuple[str, list[Any]]:
    conditions, values = list[str](), list[Any]()
    if options.tenant_column:
        conditions.append(f"{quote(options.tenant_column)} = ?")
        values.append(principal.tenant)
    if options.group_column:
        column, groups = quote(options.group_column), sorted(principal.groups)
        listed = f" OR {column} IN ({', '.join('?' * len(groups))})" if groups else ""
        conditions.append(f"({column} IS NULL OR {column} = ''{listed})")
        values += groups
    return " AND ".join(conditions), values


def _lower(text: str | None) -> str | None:
    return text and text.lower()


@contextmanager
def _open_sqlite(options: DatabaseOptions, timeout_s: float) -> Iterator[Run]:
    assert options.file is not None
    try:
        connection = sqlite3.connect(f"{options.file.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
    except sqlite3.Error as error:
        raise StoreUnavailable(f'The database "{options.name}" cannot be opened at {options.file}: {error}.') from error
    until = time.monotonic() + timeout_s
    with closing(connection):
        connection.execute("PRAGMA query_only = ON")
        connection.create_function("lower", 1, _lower, deterministic=True)  # its own knows the letters of English alone
        connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS)

        def run(statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
            try:
                return connection.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                if "interrupted" in str(error):
                    raise InvalidRequest(too_slow(options.name, timeout_s)) from error
                raise StoreUnavailable(f'The database "{options.name}" failed: {error}.') from error

        yield run


@contextmanager
def _open_postgres(options: DatabaseOptions, timeout_s: float) -> Iterator[Run]:
    import psycopg

    assert options.url is not None
    limits = f"-c default_transaction_read_only=on -c statement_timeout={int(timeout_s * 1000)}"
    try:
        connection = psycopg.connect(options.url.get_secret_value(), options=limits, connect_timeout=5)
    except psycopg.Error as error:
        raise StoreUnavailable(f'The database "{options.name}" cannot be reached: {error}.') from error
    with closing(connection):

        def run(statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
            try:
                return connection.execute(
                    statement.replace("%", "%%").replace("?", "%s").encode(), list(values)
                ).fetchall()
            except psycopg.errors.QueryCanceled as error:
                raise InvalidRequest(too_slow(options.name, timeout_s)) from error
            except psycopg.Error as error:
                raise StoreUnavailable(f'The database "{options.name}" failed: {error}.') from error

        yield run

# ruff: noqa: S608 - statements are put together from quoted names and constants; every value is bound
"""Tables of documents: what a caller may read of them now, loaded into a database in memory and forgotten with the document.

The ledger alone keeps them, so that a deletion, an erasure and a change of rights reach them without a copy to follow.
"""

import sqlite3
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from extensions.tables.figures import NOTHING
from extensions.tables.reading import Sheet, read_sheets
from extensions.tables.relations import Relation, SqlColumn, quote
from foundation.errors import InvalidRequest, NotFound
from foundation.types import EVERY_TENANT, Scope
from retrieval.contract import DocumentLedger
from retrieval.documents import Chunk, Document, Entry

# Documents whose tables are in memory, at most, and tables among them that have a database; one is 90 KB, however small the table
KEPT, OPEN = 16, 64
# Cells of one table that is calculated with, and of all in memory, where one of few rows costs as much as one of so many cells
CELLS, KEPT_CELLS, LEAST = 500_000, 2_000_000, 100
# Columns of a table; SQLite takes 2,000, and each is kept as text, figure and unit
COLUMNS = 600
# The column with a row's number
ROW = "row_number"
# Instructions of SQLite between two looks at the clock
_STEPS = 20_000


@dataclass(frozen=True)
class _Opened:
    """The rows of a table in a database of their own."""

    database: sqlite3.Connection
    lock: threading.Lock


@dataclass(frozen=True, eq=False)
class KeptTable:
    """A table of a document."""

    table_id: str
    document: Document
    sheet: Sheet
    chunks: Sequence[Chunk]
    relation: Relation
    names: Sequence[str]
    """Of its columns in a database, where none occurs twice."""

    @property
    def cells(self) -> int:
        return max(LEAST, len(self.sheet.rows) * len(self.sheet.names))

    def passages(self, rows: Sequence[int], most: int) -> list[str]:
        """Return the ids of the passages in which these rows stand, by their numbers from 1."""
        starts = [self.sheet.rows[row - 1].start for row in rows]
        found = (
            chunk.chunk_id
            for start in starts
            for chunk in self.chunks
            if chunk.start <= start < max(chunk.end, chunk.start + 1)
        )
        return [*dict.fromkeys(found)][:most]


class DocumentTables:
    def __init__(self, ledger: DocumentLedger, *, mark: str, timeout_s: float) -> None:
        self._ledger, self._mark, self._timeout_s = ledger, mark, timeout_s
        self._kept: OrderedDict[str, tuple[str, list[KeptTable]]] = OrderedDict()
        self._opened: OrderedDict[KeptTable, _Opened] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, document_ids: Sequence[str], scope: Scope) -> list[KeptTable]:
        """Return the tables of these documents as far as `scope` may read them, in their order."""
        found: list[KeptTable] = []
        for document_id in document_ids:
            document = self._ledger.find(document_id)
            if document is not None and _is_open(document, scope):
                found += self._read(document)
        return found

    def find(self, table_id: str, scope: Scope) -> KeptTable:
        """Raises NotFound: there is no such table that `scope` may read."""
        uri = table_id.rpartition("#")[0] or table_id
        documents = [
            document
            for tenant in (scope.tenant, EVERY_TENANT)
            for document in self._ledger.documents_where(tenant, uri=uri)
            if _is_open(document, scope)
        ]
        tables = [table for document in documents for table in self._read(document)]
        if (
            len(named := [table for table in tables if table_id in (table.table_id, uri if len(tables) == 1 else "")])
            == 1
        ):
            return named[0]
        if tables:
            ids = ", ".join(table.table_id for table in tables[:20])
            raise NotFound(f'"{table_id}" does not say which table: {uri} has {len(tables)}. Name one of them: {ids}.')
        raise NotFound(f'There is no table "{table_id}" that the person may read. find_tables tells which there are.')

    def run(self, table: KeptTable, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Raises InvalidRequest: it took longer than it may."""
        opened = self._open(table)
        until = time.monotonic() + self._timeout_s
        with opened.lock:
            opened.database.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
            try:
                return opened.database.execute(statement, values).fetchall()
            except sqlite3.OperationalError as error:
                if "interrupted" in str(error):
                    raise InvalidRequest(too_slow(table.relation.label, self._timeout_s)) from error
                raise

    def close(self) -> None:
        for opened in self._opened.values():
            opened.database.close()
        self._opened.clear()
        self._kept.clear()

    def _open(self, table: KeptTable) -> _Opened:
        with self._lock:
            opened = self._opened.get(table)
        opened = opened or _Opened(_load_rows(table), threading.Lock())  # without the lock, as in _read
        with self._lock:
            self._opened[table] = opened
            self._opened.move_to_end(table)
            while len(self._opened) > OPEN or (len(self._opened) > 1 and _cells(self._opened) > KEPT_CELLS):
                self._opened.popitem(last=False)
        return opened

    def _read(self, document: Document) -> list[KeptTable]:
        state = f"{document.content_hash} {document.ingested_at} {document.parsers}"
        with self._lock:
            held = self._kept.get(document.document_id)
        if (
            held is None or held[0] != state
        ):  # read without the lock, so that nobody waits for somebody else's long table
            entry = self._ledger.entry(document.document_id)
            held = (state, self._load(document, entry) if entry else [])
        with self._lock:
            self._kept[document.document_id] = held
            self._kept.move_to_end(document.document_id)
            while len(self._kept) > KEPT or (len(self._kept) > 1 and sum(map(_cells, self._all())) > KEPT_CELLS):
                self._kept.popitem(last=False)
        return held[1]

    def _all(self) -> Iterator[list[KeptTable]]:
        return (tables for _, tables in self._kept.values())

    def _load(self, document: Document, entry: Entry) -> list[KeptTable]:
        sheets = read_sheets(entry.parsed, mark=self._mark)
        return [
            _keep(document, entry, sheet, number)
            for number, sheet in enumerate(sheets, 1)
            if len(sheet.names) <= COLUMNS
        ]


def _cells(tables: Iterable[KeptTable]) -> int:
    return sum(table.cells for table in tables)


def too_slow(label: str, timeout_s: float) -> str:
    return (
        f"The query of {label} took longer than {timeout_s:g} s and was given up. Ask for fewer rows, by a condition."
    )


def _is_open(document: Document, scope: Scope) -> bool:
    return document.source.is_readable(scope) and not document.superseded and document.source.version_of is None


def _keep(document: Document, entry: Entry, sheet: Sheet, number: int) -> KeptTable:
    table_id = f"{document.source.uri}#{number}"
    cells, trouble = len(sheet.rows) * len(sheet.names), sheet.trouble
    if cells > CELLS:
        trouble = f"it has {cells:,} cells, more than {CELLS:,}"
    names = _unique(sheet.names)
    columns = [
        SqlColumn(
            name=column.name,
            text=quote(name),
            number=quote(f"{name}, figure") if column.is_numeric else "",
            unit=column.unit,
            unit_sql=quote(f"{name}, unit"),
            unclear=column.unclear,
        )
        for name, column in zip(names, sheet.columns, strict=True)
    ]
    relation = Relation(
        label=table_id,
        origin=document.source.uri,
        fields=columns,
        source=quote(table_id),
        row=ROW,
        totals=sheet.totals,
        trouble=trouble,
    )
    return KeptTable(table_id, document, sheet, entry.chunks, relation, names)


def _load_rows(table: KeptTable) -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", check_same_thread=False)
    database.create_function("fold", 1, _fold, deterministic=True)
    database.create_function("blank", 1, lambda text: text in NOTHING, deterministic=True)
    source, names = table.relation.source, table.names
    database.execute(f"CREATE TABLE {source} ({ROW} INTEGER PRIMARY KEY, {', '.join(map(_columns, names))})")
    if len(table.sheet.rows) * len(names) <= CELLS:
        marks = ", ".join("?" * (1 + 3 * len(names)))
        database.executemany(f"INSERT INTO {source} VALUES ({marks})", _values(table.sheet))
    database.execute("PRAGMA query_only = ON")
    return database


def _values(sheet: Sheet) -> list[list[Any]]:
    columns = sheet.columns
    return [
        [
            place + 1,
            *(
                value
                for at, column in enumerate(columns)
                for value in (
                    row.cells[at],
                    None if column.numbers[place] is None else float(column.numbers[place] or 0),
                    column.units[place],
                )
            ),
        ]
        for place, row in enumerate(sheet.rows)
    ]


def _unique(names: Sequence[str]) -> list[str]:
    # SQLite tells columns apart without regard to case; a table with two of one name is not calculated with anyway
    times, taken, unique = Counter(name.casefold() for name in names), {ROW}, list[str]()
    for at, name in enumerate(names, 1):
        own = name if times[name.casefold()] == 1 else f"{name}, column {at}"
        while not taken.isdisjoint(three := {each.casefold() for each in _three(own)}):
            own = f"{own}, column {at}"
        taken |= three
        unique.append(own)
    return unique


def _three(name: str) -> tuple[str, str, str]:
    return name, f"{name}, figure", f"{name}, unit"


def _columns(name: str) -> str:
    text, figure, unit = map(quote, _three(name))
    return f"{text} TEXT, {figure} REAL, {unit} TEXT"


def _fold(text: str | None) -> str:
    return " ".join((text or "").casefold().split())

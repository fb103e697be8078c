"""Spans into a local SQLite file, so that traces can be read without any other program."""

import logging
import sqlite3
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from pydantic import Field

from foundation import names
from foundation.components import Context
from foundation.errors import SixplyError
from foundation.settings import Section
from foundation.stores.erasures import Erasures
from foundation.stores.sqlite_file import SqliteFile, SqliteStore
from observability.stores.spans import COLUMNS, STORE, SpanRow, row_of, values_of

INSERT = f"INSERT OR REPLACE INTO spans ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - own names
BUSY_S = 2.0
PRUNE = "DELETE FROM spans WHERE id <= (SELECT max(id) FROM spans) - ?"

logger = logging.getLogger(__name__)


class Options(Section):
    max_spans: int = Field(default=500_000, ge=1)
    """Maximum number of spans; the oldest beyond are deleted."""


class SqliteSpanExporter(SpanExporter):
    """Opens the file at the first batch, and again after a failure, so that a repaired folder is used."""

    def __init__(self, path: Path, erasures: Erasures, *, max_spans: int) -> None:
        self.path, self._erasures = path, erasures
        self._max_spans = max_spans
        self._lock = threading.Lock()
        self._file: SqliteFile | None = None
        self._closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write a batch in one transaction. FAILURE: the file is locked or full; the next batch retries."""
        rows = [row_of(span) for span in spans]
        with self._lock:
            if self._closed:
                return SpanExportResult.FAILURE
            try:
                self._file = self._file or SqliteFile(self.path, STORE, timeout_s=BUSY_S, make_folder=False)
                self._file.run_now(partial(self._insert, rows), of_nobody=True)
            except (SixplyError, sqlite3.Error) as error:
                logger.warning("%d spans were not stored in %s: %s", len(rows), self.path, error)
                self._abandon()
                return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        with self._lock:
            self._closed = True
            self._abandon()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - nothing is held back here
        return True

    def _insert(self, rows: Sequence[SpanRow], connection: sqlite3.Connection) -> None:
        # looked up within the transaction: an erasure that comes later finds these rows
        values = [values_of(row) for row in rows if not self._is_erased(row)]
        connection.executemany(INSERT, values)
        connection.execute(PRUNE, (self._max_spans,))

    def _is_erased(self, row: SpanRow) -> bool:
        """Whether the span is of a person who was erased after it began, while it waited for its batch."""
        mark = row.attribute(names.USER_HASH)
        return isinstance(mark, str) and row.start_ns <= self._erasures.note(mark).at_ns

    def _abandon(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def build(options: Options, context: Context) -> SpanExporter:
    data = context.data_dir
    return SqliteSpanExporter(data / STORE.file, Erasures(data), max_spans=options.max_spans)


def stores(options: Options) -> tuple[SqliteStore, ...]:  # noqa: ARG001 - the signature of every adapter
    return (STORE,)

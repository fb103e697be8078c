"""One short line per span on standard error, to watch requests during development."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from pydantic import Field

from foundation.components import Context
from foundation.settings import Section
from foundation.stores.registry import Store
from observability.stores.spans import row_of


class Options(Section):
    min_ms: float = Field(default=0, ge=0)
    """Minimum duration of the spans to print."""


class ConsoleSpanExporter(SpanExporter):
    """Prints trace, milliseconds, layer, status and name."""

    def __init__(self, min_ms: float) -> None:
        self._min_ms = min_ms
        self._closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._closed:
            return SpanExportResult.FAILURE
        lines = [
            f"{row.trace_id[:8]} {row.ms:9.1f} ms  {row.layer or '-':13} {'FAILED ' if row.status == 'error' else ''}{row.name}\n"
            for row in map(row_of, spans)
            if row.ms >= self._min_ms
        ]
        try:
            sys.stderr.write("".join(lines))
        except (OSError, ValueError):  # a closed terminal must not break the system
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._closed = True

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - nothing is held back here
        return True


def build(options: Options, context: Context) -> SpanExporter:  # noqa: ARG001 - every adapter gets the context
    return ConsoleSpanExporter(options.min_ms)


def stores(options: Options) -> tuple[Store, ...]:  # noqa: ARG001 - the signature of every adapter
    return (Store(name="console", stays="spans go to standard error: clean where that is kept"),)

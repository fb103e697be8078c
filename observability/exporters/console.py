"""One short line per span on standard error, to watch requests during development."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter, SpanExportResult

from foundation.components import Context
from foundation.settings import Section
from foundation.stores.registry import Store
from observability.stores.spans import row_of


class Options(Section):
    """Nothing to set."""


class LineExporter(ConsoleSpanExporter):
    """Prints trace, milliseconds, layer, status and name."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            return super().export(spans)
        except (OSError, ValueError):  # a closed terminal must not break the system
            return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.out = io.StringIO()
        self.out.close()


def build(options: Options, context: Context) -> SpanExporter:  # noqa: ARG001 - every adapter gets both
    return LineExporter(out=sys.stderr, formatter=_line)


def _line(span: ReadableSpan) -> str:
    row = row_of(span)
    failed = "FAILED " if row.status == "error" else ""
    return f"{row.trace_id[:8]} {row.ms:9.1f} ms  {row.layer or '-':13} {failed}{row.name}\n"


def stores(options: Options) -> tuple[Store, ...]:  # noqa: ARG001 - the signature of every adapter
    return (Store(name="console", stays="spans go to standard error: clean where that is kept"),)

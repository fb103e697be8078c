"""Span exporters with one fault each, and the promise that must catch it."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult


class Healthy(SpanExporter):
    """Keeps spans in a list."""

    caught_by: str | None = None

    def __init__(self) -> None:
        self.kept: list[ReadableSpan] = []
        self.closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self.closed:
            return SpanExportResult.FAILURE
        self.kept.extend(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.closed = True

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class SaysNothing(Healthy):
    caught_by = "takes_a_batch"

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        super().export(spans)  # and forgets to say how it went, which counts as lost


class NeedsASpan(Healthy):
    caught_by = "takes_an_empty_batch"

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.last = spans[-1]
        return super().export(spans)


class WritesLatinOnly(Healthy):
    caught_by = "takes_any_text"

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            span.name.encode("latin-1")
        return super().export(spans)


class KnowsOnlyRoots(Healthy):
    caught_by = "takes_spans_with_and_without_a_parent"

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return super().export(spans) if all(span.parent is None for span in spans) else SpanExportResult.FAILURE


class WritesAfterClosing(Healthy):
    caught_by = "says_failure_after_it_was_closed"

    def shutdown(self) -> None:
        self.closed = False


class ClosesOnce(Healthy):
    caught_by = "may_be_closed_twice"

    def shutdown(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        super().shutdown()


class NeverFlushed(Healthy):
    caught_by = "flushes"

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return False


class OneThreadOnly(Healthy):
    caught_by = "takes_batches_from_several_threads"

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        import threading

        self.thread = getattr(self, "thread", threading.get_ident())
        return super().export(spans) if self.thread == threading.get_ident() else SpanExportResult.FAILURE


BROKEN = [
    SaysNothing, NeedsASpan, WritesLatinOnly, KnowsOnlyRoots, WritesAfterClosing, ClosesOnce, NeverFlushed,
    OneThreadOnly,
]  # fmt: skip

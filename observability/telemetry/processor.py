"""The batch processor of spans: each lost span is counted, and closing takes bounded time."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace

from opentelemetry import context as otel_context
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from foundation import names
from foundation.stores import erasures
from observability.telemetry import metrics
from observability.telemetry.span_content import exportable

logger = logging.getLogger(__name__)

QUEUE_SPANS = 4096
BATCH_SPANS = 512
BATCH_EVERY_MS = 1000
CLOSE_S = 5.0


class CountingProcessor(BatchSpanProcessor):
    """The SDK's batch processor, with two additions: lost spans are counted, and closing takes bounded time.

    After closing, `exported + dropped` is the number of spans that ended.
    """

    def __init__(self, exporter: SpanExporter, *, clean: Callable[[str], str] | None) -> None:
        self._mutex = threading.Lock()
        self._waiting = self._lost = 0
        self._closed = False
        self._deadline_s: float | None = None
        self._name = type(exporter).__name__
        self._exporter = exporter
        self._clean = clean
        metrics.domain().begin(names.SPANS_EXPORTED, exporter=self._name)
        for reason in ("closed", "failed", "queue_full", "too_late"):
            metrics.domain().begin(names.SPANS_DROPPED, exporter=self._name, reason=reason)
        super().__init__(
            SimpleNamespace(export=self.deliver, shutdown=self.stop_exporter),  # type: ignore[arg-type]  # what the SDK's worker calls
            max_queue_size=QUEUE_SPANS,
            schedule_delay_millis=BATCH_EVERY_MS,
            max_export_batch_size=BATCH_SPANS,
            meter_provider=NoOpMeterProvider(),
        )

    def on_start(self, span: SdkSpan, parent_context: otel_context.Context | None = None) -> None:  # noqa: ARG002 - OpenTelemetry's signature
        if mark := erasures.current_mark():
            span.set_attribute(names.USER_HASH, mark)

    def on_end(self, span: ReadableSpan) -> None:
        if not (span.context and span.context.trace_flags.sampled):
            return
        with self._mutex:
            if not self._closed and self._waiting < QUEUE_SPANS:
                self._waiting += 1
                super().on_end(span)
                return
        self._drop(1, "closed" if self._closed else "queue_full")

    def flush(self, timeout_s: float) -> None:
        self._deadline_s = time.monotonic() + timeout_s
        try:
            self.force_flush()
        finally:
            self._deadline_s = None

    def shutdown(self) -> None:
        with self._mutex:
            if self._closed:
                return
            self._closed = True
        self._deadline_s = time.monotonic() + CLOSE_S
        super().shutdown()  # type: ignore[no-untyped-call]  # the SDK left this one untyped
        self._drop(self._waiting, "too_late")
        if self._lost:
            logger.warning("%d spans did not reach %s.", self._lost, self._name)

    def deliver(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export a batch and count the outcome."""
        with self._mutex:
            self._waiting -= len(spans)
        if self._deadline_s is not None and time.monotonic() > self._deadline_s:
            return self._drop(len(spans), "too_late")
        try:
            result = self._exporter.export([exportable(span, self._clean) for span in spans])
        except Exception:  # any vendor's exporter may run here; its failure must not be the application's
            logger.exception("%s failed", self._name)
            return self._drop(len(spans), "failed")
        if result is not SpanExportResult.SUCCESS:
            return self._drop(len(spans), "failed")
        metrics.domain().count(names.SPANS_EXPORTED, len(spans), exporter=self._name)
        return result

    def stop_exporter(self) -> None:
        try:
            self._exporter.shutdown()
        except Exception:  # as above
            logger.exception("%s could not be closed", self._name)

    def _drop(self, count: int, reason: str) -> SpanExportResult:
        if count:
            self._lost += count
            metrics.domain().count(names.SPANS_DROPPED, count, exporter=self._name, reason=reason)
        return SpanExportResult.FAILURE

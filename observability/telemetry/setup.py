"""Set up OpenTelemetry for one system; several may be open in a process, and the one that was started last gets the spans."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any

from opentelemetry import metrics as otel_metrics
from opentelemetry import trace
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, Tracer
from opentelemetry.util.types import Attributes

from foundation import names
from foundation.errors import InvalidSetting
from foundation.machine.manifest import product_version
from foundation.output.credentials import mask_text
from observability.settings import ObservabilitySettings
from observability.telemetry import metrics
from observability.telemetry.processor import CLOSE_S, CountingProcessor

CONTENT_SWITCH = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
CONTENT_UPLOAD = "OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK"
_lock = threading.RLock()
# Running systems; the last one gets the spans
_open: list[Telemetry] = []


def start(
    settings: ObservabilitySettings,
    exporters: Sequence[SpanExporter],
    *,
    manifest_id: str,
    clean: Callable[[str], str] = mask_text,
) -> Telemetry:
    """Start telemetry. Each span's resource carries the service, its version and `manifest_id`; content passes `clean`.
    Raises InvalidSetting: another OpenTelemetry set-up has claimed this process.
    """
    attributes = {
        names.SERVICE_NAME: settings.service_name,
        names.SERVICE_VERSION: product_version(),
        names.MANIFEST_ID: manifest_id,
    }
    with _lock:
        _claim_process(settings.service_name)
        metrics.domain()  # so that every series exists from the first scrape on
        provider = TracerProvider(
            # a caller's `traceparent` may place our spans in its trace, but not switch the local record off
            sampler=None if "OTEL_TRACES_SAMPLER" in os.environ else ALWAYS_ON,
            resource=Resource.create(attributes),
            shutdown_on_exit=False,
            meter_provider=NoOpMeterProvider(),
        )
        content = clean if settings.capture_content else None
        processors = [CountingProcessor(exporter, clean=content) for exporter in exporters]
        for processor in processors:
            provider.add_span_processor(processor)
        readers: list[MetricReader] = [
            reader
            for exporter in exporters
            if (make := getattr(exporter, "metric_reader", None)) and (reader := make()) is not None
        ]
        for reader in readers:
            metrics.read_by(reader)
        started = Telemetry(provider, processors, readers, settings.capture_content)
        _open.append(started)
        _observe_langchain(capture_content=settings.capture_content)
    atexit.register(started.close)
    return started


@dataclass(eq=False)
class Telemetry(AbstractContextManager["Telemetry"]):
    provider: TracerProvider
    processors: Sequence[CountingProcessor]
    readers: Sequence[MetricReader]
    capture_content: bool

    def flush(self, timeout_s: float = CLOSE_S) -> None:
        """Send all ended spans and metrics. Spans not accepted within `timeout_s` are dropped and counted."""
        for processor in self.processors:
            processor.flush(timeout_s)
        for reader in self.readers:
            reader.force_flush(timeout_s * 1000)

    def close(self) -> None:
        """Flush, stop, and give the spans back to the system that was open before. Can be called twice."""
        with _lock:
            if self not in _open:
                return
            _open.remove(self)
            if _open:
                _observe_langchain(capture_content=_open[-1].capture_content)
            else:
                _forget_langchain()
        atexit.unregister(self.close)
        # before the metrics, so that the last of them count its last spans
        self.provider.shutdown()
        for reader in self.readers:
            metrics.release(reader, timeout_s=CLOSE_S)

    def __exit__(self, *_: object) -> None:
        self.close()


class _CurrentTracerProvider(trace.TracerProvider):
    """The process's global provider. Its tracers look up the running system at each span."""

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Tracer:
        scope = (instrumenting_module_name, instrumenting_library_version, schema_url)
        return _CurrentTracer(*scope, attributes) if attributes else _tracer_of(*scope)


# kept: creating the SDK's took a third of a span's time, and foundation.tracing asks at each span
@cache
def _tracer_of(*scope: str | None) -> _CurrentTracer:
    return _CurrentTracer(*scope)


class _CurrentTracer(Tracer):
    def __init__(self, *scope: Any) -> None:
        self._scope = scope
        self._bound: tuple[Telemetry | None, Tracer] = (None, trace.NoOpTracer())

    def start_span(self, *arguments: Any, **options: Any) -> Span:
        return self._current().start_span(*arguments, **options)

    def start_as_current_span(self, *arguments: Any, **options: Any) -> Any:
        return self._current().start_as_current_span(*arguments, **options)

    def _current(self) -> Tracer:
        running = _open[-1] if _open else None
        # read once: another thread may change it
        bound = self._bound
        if running is not bound[0]:
            tracer = running.provider.get_tracer(*self._scope) if running else trace.NoOpTracer()
            self._bound = bound = (running, tracer)
        return bound[1]


@cache
def tracers() -> _CurrentTracerProvider:
    return _CurrentTracerProvider()


def _claim_process(service_name: str) -> None:
    if trace.get_tracer_provider() is tracers():
        return
    # global providers can be set once a process: ours look up the running system at each span
    trace.set_tracer_provider(tracers())
    otel_metrics.set_meter_provider(meters := metrics.provider(service_name))
    claimed: tuple[tuple[object, object], ...] = (
        (tracers(), trace.get_tracer_provider()),
        (meters, otel_metrics.get_meter_provider()),
    )
    for ours, current in claimed:
        if current is not ours:
            raise InvalidSetting(
                f"OpenTelemetry is already set up in this process, with a {type(current).__name__}. Its spans and metrics "
                f"would not reach the configured exporters. Start without it (for example without "
                f"opentelemetry-instrument), and add its exporter to [[observability.exporters]]."
            )


def _observe_langchain(*, capture_content: bool) -> None:
    """Instrument chat models, agents, tools and LangChain retrievers with OpenTelemetry's own instrumentor."""
    from unittest.mock import patch

    from opentelemetry.instrumentation.genai.langchain.callback_handler import OpenTelemetryLangChainCallbackHandler

    _forget_langchain()
    # otherwise LangChain sends every event of an asynchronous run, some thirty an answer, to a thread and waits for it
    OpenTelemetryLangChainCallbackHandler.run_inline = True
    # it reads from the environment whether to record content; our settings decide, not a variable left over in a shell
    content = {CONTENT_SWITCH: "SPAN_ONLY"} if capture_content else {CONTENT_SWITCH: "NO_CONTENT", CONTENT_UPLOAD: ""}
    with patch.dict(os.environ, content):  # the standard library's, which puts back what was there
        _langchain().instrument(tracer_provider=tracers(), meter_provider=metrics.OneMeter())


def _forget_langchain() -> None:
    instrumentor = _langchain()
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


def _langchain() -> Any:
    from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor

    return LangChainInstrumentor()  # type: ignore[no-untyped-call]  # always the same object

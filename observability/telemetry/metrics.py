"""The metrics of the domain: answers, money, documents, approvals, and spans that were lost.

A metric belongs to the process, because a scrape does: counters go on counting when a system is closed and another one
is opened. So there is one OpenTelemetry meter provider for the process, made at first use, and everything that reads it
sees the same counts: `/metrics` through Prometheus' reader, collectors through the readers that an exporter brings
(`reading`). Every label has a bounded set of values; anything else is counted under `other`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from functools import cache
from importlib import metadata
from itertools import product
from typing import get_args

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, ProcessCollector

from foundation import names
from foundation.types import LAYERS
from orchestration.events import Answer, Charge, Path, Status

CHARGE_KINDS = ("chat", "embeddings", "rerank", "tool", "machine")
OTHER = "other"
WAITING: Status = "waiting"
ENDED = tuple(status for status in get_args(Status) if status != WAITING)

_lock = threading.Lock()
_providers: list[MeterProvider] = []


@cache
def registry() -> CollectorRegistry:
    """What a scrape reads: our own rather than prometheus-client's default one, with the process's memory and CPU in it."""
    collectors = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=collectors)
    return collectors


def provider(service_name: str = names.SERVICE) -> MeterProvider:
    """The process's meter provider. Its resource names the service of the first call, and this process by a random
    `service.instance.id`, by which a collector keeps the counters of several workers apart."""
    with _lock:
        if not _providers:
            reader = PrometheusMetricReader(registry=registry(), scope_info_enabled=False)
            resource = Resource.create({names.SERVICE_NAME: service_name, names.SERVICE_VERSION: version()})
            _providers.append(MeterProvider([reader], resource=resource, shutdown_on_exit=False))
        return _providers[0]


@cache
def domain() -> DomainMetrics:
    """The process's domain metrics."""
    return DomainMetrics(provider().get_meter(names.SERVICE))


def read_by(reader: MetricReader) -> None:
    """Let one more reader read the process's metrics, every series of a counter from zero on."""
    provider().add_metric_reader(reader)
    domain().begin_at_zero()


def release(reader: MetricReader, *, timeout_s: float) -> None:
    """Take a reader away again, after it has sent what it can within `timeout_s`."""
    reader.shutdown(timeout_s * 1000)  # while it is still ours: it reads a last time
    provider().remove_metric_reader(reader)


def read_counter(name: str, **labels: str) -> float:
    """How far a counter has come, as `/metrics` shows it; 0 where nothing has been counted yet."""
    return registry().get_sample_value(f"{name.replace('.', '_')}_total", labels) or 0.0


class Levels:
    """A gauge whose series are read whenever somebody reads the metrics. What cannot be read then is left out."""

    def __init__(self, meter: Meter, name: str, says: str) -> None:
        self._reads: dict[tuple[tuple[str, str], ...], Callable[[], float]] = {}
        meter.create_observable_gauge(name, [self._observe], description=says)

    def watch(self, read: Callable[[], float], **labels: str) -> None:
        """Read the series of these labels by `read`, from now on."""
        self._reads[tuple(labels.items())] = read

    def _observe(self, _: CallbackOptions) -> Iterator[Observation]:
        for labels, read in list(self._reads.items()):
            with suppress(Exception):  # a store that was closed or is down must not take the other metrics with it
                yield Observation(float(read()), dict(labels))


class DomainMetrics:
    """What an operator of this system wants on a screen and no convention names."""

    def __init__(self, meter: Meter) -> None:
        def seconds(name: str, says: str, bounds: Iterable[float]) -> Histogram:
            return meter.create_histogram(name, "s", says, explicit_bucket_boundaries_advisory=list(bounds))

        self._answers = meter.create_counter(
            names.ANSWERS, description="Answers by status and by how they were composed."
        )
        self._cost_usd = meter.create_counter(names.COST_USD, description="Money spent, in US dollars.")
        self._unpriced = meter.create_counter(names.UNPRICED_CALLS, description="Calls whose price is not known.")
        self._spans_exported = meter.create_counter(names.SPANS_EXPORTED, description="Spans that an exporter took.")
        self._spans_dropped = meter.create_counter(names.SPANS_DROPPED, description="Spans that were lost.")
        self._answer_seconds = seconds(
            names.ANSWER_SECONDS,
            "Seconds from question to answer.",
            (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
        )
        self._first_token_seconds = seconds(
            names.FIRST_TOKEN_SECONDS,
            "Seconds from question to the chat model's first word, where it wrote.",
            (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        )
        self._requests_shed = meter.create_counter(names.REQUESTS_SHED, description="Requests turned away as too many.")
        self._requests_running = Levels(meter, names.REQUESTS_RUNNING, "Requests that hold a place.")
        self._requests_waiting = Levels(meter, names.REQUESTS_WAITING, "Requests that wait for a place.")
        self.loop_lag_seconds = seconds(
            names.LOOP_LAG_SECONDS,
            "How late the event loop wakes a timer: what blocks it blocks every caller.",
            (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
        )
        self.loop_tasks = meter.create_gauge(names.LOOP_TASKS, description="Tasks of the event loop.")
        self._levels = {
            "documents": Levels(meter, names.DOCUMENTS, "Documents in the ledger."),
            "chunks": Levels(meter, names.CHUNKS, "Chunks in the vector index."),
            "approvals_waiting": Levels(meter, names.APPROVALS_WAITING, "Effects that wait for a person."),
            "approvals_unannounced": Levels(
                meter, names.APPROVALS_UNANNOUNCED, "Approvals that nobody could be told of, since the start."
            ),
        }
        self._budget_used = Levels(
            meter,
            names.BUDGET_USED_SHARE,
            "Share of the day's budget that is used or reserved: of the system, and of the tenant nearest to its limit.",
        )
        self._zeros: list[tuple[Counter, dict[str, str]]] = []
        for status, path in product(ENDED, get_args(Path)):
            self._begin(self._answers, status=status, path=path)
        for layer, kind in product(LAYERS, CHARGE_KINDS):
            self._begin(self._cost_usd, layer=layer, kind=kind)
        for kind in CHARGE_KINDS:
            self._begin(self._unpriced, kind=kind)

    def _begin(self, counter: Counter, **labels: str) -> None:
        """A series that first appears with its first event hides that event from every `rate` and `increase`."""
        counter.add(0, labels)
        if (counter, labels) not in self._zeros:
            self._zeros.append((counter, labels))

    def begin_at_zero(self) -> None:
        """Show every series that began here to a reader that came later."""
        for counter, labels in list(self._zeros):
            counter.add(0, labels)

    def watch(self, **levels: Callable[[], float]) -> None:
        """Read gauges at each scrape, each by its name here.

        Raises:
            KeyError: there is no such gauge.
        """
        for name, read in levels.items():
            self._levels[name].watch(read)

    def budget(self, used: Mapping[str, Callable[[], float]]) -> None:
        """Read the shares of the day's budgets at each scrape."""
        for whose, read in used.items():
            self._budget_used.watch(read, whose=whose)

    def admission(self, work: str, *, running: Callable[[], float], waiting: Callable[[], float]) -> None:
        """Read how many requests of one kind of work run and wait, at each scrape."""
        self._begin(self._requests_shed, work=work)
        self._requests_running.watch(running, work=work)
        self._requests_waiting.watch(waiting, work=work)

    def count_shed(self, work: str) -> None:
        """Count a request that was turned away."""
        self._requests_shed.add(1, {"work": work})

    def exporter(self, name: str, reasons: Iterable[str]) -> None:
        """Begin to count the spans of an exporter, and those that are lost for one of `reasons`."""
        self._begin(self._spans_exported, exporter=name)
        for reason in reasons:
            self._begin(self._spans_dropped, exporter=name, reason=reason)

    def count_exported(self, exporter: str, spans: int) -> None:
        """Count spans that an exporter took."""
        self._spans_exported.add(spans, {"exporter": exporter})

    def count_dropped(self, exporter: str, spans: int, reason: str) -> None:
        """Count spans that were lost."""
        self._spans_dropped.add(spans, {"exporter": exporter, "reason": reason})

    def count_answer(self, answer: Answer) -> None:
        """Count an answer and its time. One that waits for a person is counted when it has come to its end."""
        if answer.status != WAITING:
            labels = {"status": bound_label(answer.status, ENDED), "path": bound_label(answer.path, get_args(Path))}
            self._answers.add(1, labels)
        self._answer_seconds.record(answer.seconds)
        if answer.first_token_s is not None:
            labels = {names.OPERATION: names.INVOKE_AGENT, names.PROVIDER: names.SERVICE}
            self._first_token_seconds.record(answer.first_token_s, labels)

    def count_charge(self, charge: Charge) -> None:
        """Count the money of a charge, or that it has no price."""
        kind = bound_label(charge.kind, CHARGE_KINDS)
        if charge.usd is None:
            self._unpriced.add(1, {"kind": kind})
        elif charge.usd > Decimal(0):
            self._cost_usd.add(float(charge.usd), {"layer": bound_label(charge.layer, LAYERS), "kind": kind})


def bound_label(value: str, known: Iterable[str]) -> str:
    """`value` if it is a known one, else `other`: a label that outsiders can choose would fill the memory."""
    return value if value in known else OTHER


def version() -> str:
    """The installed version of this package."""
    try:
        return metadata.version(names.SERVICE)
    except metadata.PackageNotFoundError:
        return "0+unknown"  # a clone that was not installed; the manifest carries its commit

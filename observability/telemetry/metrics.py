"""Metrics of the domain: answers, money, documents, approvals, lost spans. They belong to the process, as a scrape does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import cache, partial
from itertools import product
from typing import Any, get_args

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation, get_meter
from opentelemetry.sdk import metrics as sdk
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import Resource
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest

from foundation import names
from foundation.machine.manifest import product_version
from foundation.machine.probes import Probes
from foundation.types import LAYERS
from orchestration.events import Answer, Charge, Path, Status

CHARGE_KINDS = ("chat", "embeddings", "rerank", "tool", "machine")
OTHER = "other"
WAITING: Status = "waiting"
ENDED = tuple(status for status in get_args(Status) if status != WAITING)

COUNTERS = {
    names.ANSWERS: "Answers by status and by how they were composed.",
    names.COST_USD: "Money spent, in US dollars.",
    names.UNPRICED_CALLS: "Calls whose price is not known.",
    names.SPANS_EXPORTED: "Spans that an exporter took.",
    names.SPANS_DROPPED: "Spans that were lost.",
    names.REQUESTS_SHED: "Requests turned away as too many.",
}
TIMES = {
    names.ANSWER_SECONDS: ("Seconds from question to answer.", (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)),
    names.FIRST_TOKEN_SECONDS: (
        "Seconds from question to the chat model's first word, where it wrote.", (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
    ),
    names.LOOP_LAG_SECONDS: (
        "How late the event loop wakes a timer: what blocks it blocks every caller.",
        (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
    ),
}  # fmt: skip
LEVELS = {
    names.REQUESTS_RUNNING: "Requests that hold a place.",
    names.REQUESTS_WAITING: "Requests that wait for a place.",
    names.LOOP_TASKS: "Tasks of the event loop.",
    names.DOCUMENTS: "Documents in the ledger.",
    names.CHUNKS: "Chunks in the vector index.",
    names.APPROVALS_WAITING: "Effects that wait for a person.",
    names.APPROVALS_UNANNOUNCED: "Approvals that nobody could be told of, since the start.",
    names.BUDGET_USED_SHARE: (
        "Share of the day's budget that is used or reserved: of the system, and of the tenant nearest to its limit."
    ),
}
Labels = tuple[tuple[str, str], ...]

_lock = threading.Lock()
_providers: list[sdk.MeterProvider] = []


@cache
def registry() -> CollectorRegistry:
    """Registry that a scrape reads: our own, not prometheus-client's default, with the process's memory and CPU."""
    collectors = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=collectors)
    return collectors


def provider(service_name: str = names.SERVICE) -> sdk.MeterProvider:
    """Return the process's meter provider. Its resource names the service of the first call and a random
    `service.instance.id`, by which collectors separate the counters of several workers.
    """
    with _lock:
        if not _providers:
            reader = PrometheusMetricReader(registry=registry(), scope_info_enabled=False)
            resource = Resource.create({names.SERVICE_NAME: service_name, names.SERVICE_VERSION: product_version()})
            _providers.append(sdk.MeterProvider([reader], resource=resource, shutdown_on_exit=False))
        return _providers[0]


@cache
def domain() -> DomainMetrics:
    return DomainMetrics(provider().get_meter(names.SERVICE))


def read_by(reader: MetricReader) -> None:
    """Add a reader of the process's metrics, which sees every series of a counter from zero on."""
    provider().add_metric_reader(reader)
    domain().begin_at_zero()


def release(reader: MetricReader, *, timeout_s: float) -> None:
    """Remove a reader, after it has sent what it can within `timeout_s`."""
    reader.shutdown(timeout_s * 1000)  # before its removal, so that it reads a last time
    provider().remove_metric_reader(reader)


def exposition() -> tuple[bytes, str]:
    """Return the process's metrics in Prometheus' text format, and its media type."""
    return generate_latest(registry()), CONTENT_TYPE_LATEST


class OneMeter(MeterProvider):
    """Returns the same meter to every GenAI instrumentor, whose metrics have the same names and different attributes."""

    # the Prometheus exporter (0.66b2) writes metrics of a second scope under the label names of the first
    def get_meter(self, *_: Any, **__: Any) -> Meter:
        return get_meter(f"{names.SERVICE}.genai")


class DomainMetrics:
    """Metrics for operators of this system that no convention names."""

    def __init__(self, meter: Meter) -> None:
        self._counters = {name: meter.create_counter(name, description=says) for name, says in COUNTERS.items()}
        self._times = {
            name: meter.create_histogram(name, "s", says, explicit_bucket_boundaries_advisory=list(bounds))
            for name, (says, bounds) in TIMES.items()
        }
        self._levels: dict[str, dict[Labels, Callable[[], float]]] = {name: {} for name in LEVELS}
        self._probes, self._lock = Probes(), threading.Lock()
        self._unread, self._values = set[str](), dict[tuple[str, Labels], float]()
        for name, says in LEVELS.items():
            meter.create_observable_gauge(name, [partial(self._observe, name)], description=says)
        self._begun: dict[tuple[str, Labels], None] = {}
        for status, path in product(ENDED, get_args(Path)):
            self.begin(names.ANSWERS, status=status, path=path)
        for layer, kind in product(LAYERS, CHARGE_KINDS):
            self.begin(names.COST_USD, layer=layer, kind=kind)
        for kind in CHARGE_KINDS:
            self.begin(names.UNPRICED_CALLS, kind=kind)

    def begin(self, counter: str, **labels: str) -> None:
        """Create a series at 0: one that appears with its first event hides it from every `rate` and `increase`."""
        self._begun[counter, tuple(labels.items())] = None
        self.count(counter, 0, **labels)

    def begin_at_zero(self) -> None:
        """Show every series that was created here to a reader that was added later."""
        for counter, labels in list(self._begun):
            self.count(counter, 0, **dict(labels))

    def count(self, counter: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter of `COUNTERS`. Raises KeyError: there is no such counter."""
        self._counters[counter].add(amount, labels)

    def time(self, name: str, seconds: float, **labels: str) -> None:
        """Record a time of `TIMES`, in seconds. Raises KeyError: there is no such time."""
        self._times[name].record(seconds, labels)

    def watch(self, level: str, read: Callable[[], float], **labels: str) -> None:
        """Register a gauge of `LEVELS`, which calls `read` at each reading. Raises KeyError: there is no such gauge."""
        self._levels[level][tuple(labels.items())] = read

    def _observe(self, level: str, _: CallbackOptions) -> Iterator[Observation]:
        with self._lock:
            # a new collection reads all levels at once, since each may wait for a server that is down
            if level not in self._unread:
                reads = {(name, labels): read for name in LEVELS for labels, read in list(self._levels[name].items())}
                self._unread, self._values = {*LEVELS}, self._probes.read(reads)[0]
            self._unread.discard(level)
            values = self._values
        # a closed, failed or slow store must not take the other metrics with it
        yield from (Observation(float(value), dict(place[1])) for place, value in values.items() if place[0] == level)

    def count_answer(self, answer: Answer) -> None:
        """Count an answer and its time. An answer that waits for approval is counted at its end."""
        if answer.status != WAITING:
            status, path = bound_label(answer.status, ENDED), bound_label(answer.path, get_args(Path))
            self.count(names.ANSWERS, status=status, path=path)
        self.time(names.ANSWER_SECONDS, answer.seconds)
        if answer.first_token_s is not None:
            labels = {names.OPERATION: names.INVOKE_AGENT, names.PROVIDER: names.SERVICE}
            self.time(names.FIRST_TOKEN_SECONDS, answer.first_token_s, **labels)

    def count_charge(self, charge: Charge) -> None:
        """Count the money of a charge, or the charge as unpriced."""
        kind = bound_label(charge.kind, CHARGE_KINDS)
        if charge.usd is None:
            self.count(names.UNPRICED_CALLS, kind=kind)
        elif charge.usd > Decimal(0):
            self.count(names.COST_USD, float(charge.usd), layer=bound_label(charge.layer, LAYERS), kind=kind)


def bound_label(value: str, known: Iterable[str]) -> str:
    """Return `value` if it is known, else `other`: labels that outsiders can choose would fill the memory."""
    return value if value in known else OTHER

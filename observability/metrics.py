"""The metrics of the domain: answers, money, documents, approvals, and spans that were lost.

A metric belongs to the process, because a scrape does: counters go on counting when a system is closed and another one
is opened. So there is one registry for the process, our own rather than prometheus-client's default one, made at first
use. Every label has a bounded set of values; anything else is counted under `other`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import cache, partial
from itertools import product
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

from foundation import names
from foundation.types import LAYERS
from orchestration.contract import Answer, Charge, Path, Status

CHARGE_KINDS = ("chat", "embeddings", "rerank", "tool", "machine")
OTHER = "other"
WAITING: Status = "waiting"
ENDED = tuple(status for status in get_args(Status) if status != WAITING)


@cache
def registry() -> CollectorRegistry:
    """The process's registry, with memory and CPU of the process already in it."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nobody reads
    made = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=made)
    return made


@cache
def domain() -> DomainMetrics:
    """The process's domain metrics."""
    return DomainMetrics(registry())


class DomainMetrics:
    """What an operator of this system wants on a screen and no convention names."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, says: str, labels: Iterable[str]) -> Counter:
            return Counter(name, says, list(labels), registry=registry)

        self.answers = counter(
            names.ANSWERS_TOTAL, "Answers by status and by how they were composed.", ("status", "path")
        )
        self.cost_usd = counter(names.COST_USD_TOTAL, "Money spent, in US dollars.", ("layer", "kind"))
        self.unpriced = counter(names.UNPRICED_CALLS_TOTAL, "Calls whose price is not known.", ("kind",))
        self.spans_exported = counter(names.SPANS_EXPORTED_TOTAL, "Spans that an exporter took.", ("exporter",))
        self.spans_dropped = counter(names.SPANS_DROPPED_TOTAL, "Spans that were lost.", ("exporter", "reason"))
        self.answer_seconds = Histogram(
            names.ANSWER_SECONDS,
            "Seconds from question to answer.",
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
            registry=registry,
        )
        self.first_token_seconds = Histogram(
            names.FIRST_TOKEN_SECONDS,
            "Seconds from question to the chat model's first word, where it wrote.",
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=registry,
        )
        self.requests_shed = counter(names.REQUESTS_SHED_TOTAL, "Requests turned away as too many.", ("work",))
        self.requests_running = Gauge(
            names.REQUESTS_RUNNING, "Requests that hold a place.", ["work"], registry=registry
        )
        self.requests_waiting = Gauge(
            names.REQUESTS_WAITING, "Requests that wait for a place.", ["work"], registry=registry
        )
        self.loop_lag_seconds = Histogram(
            names.LOOP_LAG_SECONDS,
            "How late the event loop wakes a timer: what blocks it blocks every caller.",
            buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
            registry=registry,
        )
        self.loop_tasks = Gauge(names.LOOP_TASKS, "Tasks of the event loop.", registry=registry)
        self.documents = Gauge(names.DOCUMENTS, "Documents in the ledger.", registry=registry)
        self.chunks = Gauge(names.CHUNKS, "Chunks in the vector index.", registry=registry)
        self.approvals_waiting = Gauge(names.APPROVALS_WAITING, "Effects that wait for a person.", registry=registry)
        self.budget_used = Gauge(
            names.BUDGET_USED_SHARE,
            "Share of the day's budget that is used or reserved: of the system, and of the tenant nearest to its limit.",
            ["whose"],
            registry=registry,
        )
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """A series that first appears with its first event hides that event from every `rate` and `increase`."""
        for status, path in product(ENDED, get_args(Path)):
            self.answers.labels(status, path)
        for layer, kind in product(LAYERS, CHARGE_KINDS):
            self.cost_usd.labels(layer, kind)
        for kind in CHARGE_KINDS:
            self.unpriced.labels(kind)

    def watch(self, **levels: Callable[[], float]) -> None:
        """Read gauges at each scrape, each by its name here. What cannot be read then is not a number."""
        for name, read in levels.items():
            gauge: Gauge = getattr(self, name)
            gauge.set_function(partial(_level, read))

    def budget(self, used: Mapping[str, Callable[[], float]]) -> None:
        """Read the shares of the day's budgets at each scrape."""
        for whose, read in used.items():
            self.budget_used.labels(whose).set_function(partial(_level, read))

    def admission(self, work: str, *, running: Callable[[], float], waiting: Callable[[], float]) -> None:
        """Read how many requests of one kind of work run and wait, at each scrape."""
        self.requests_shed.labels(work)
        self.requests_running.labels(work).set_function(running)
        self.requests_waiting.labels(work).set_function(waiting)

    def shed(self, work: str) -> None:
        """Count a request that was turned away."""
        self.requests_shed.labels(work).inc()

    def answered(self, answer: Answer) -> None:
        """Count an answer and its time. One that waits for a person is counted when it has come to its end."""
        if answer.status != WAITING:
            self.answers.labels(bounded(answer.status, ENDED), bounded(answer.path, get_args(Path))).inc()
        self.answer_seconds.observe(answer.seconds)
        if answer.first_token_s is not None:
            self.first_token_seconds.observe(answer.first_token_s)

    def charged(self, charge: Charge) -> None:
        """Count the money of a charge, or that it has no price."""
        kind = bounded(charge.kind, CHARGE_KINDS)
        if charge.usd is None:
            self.unpriced.labels(kind).inc()
        elif charge.usd > Decimal(0):
            self.cost_usd.labels(bounded(charge.layer, LAYERS), kind).inc(float(charge.usd))


def _level(read: Callable[[], float]) -> float:
    try:
        return float(read())
    except Exception:  # a store that was closed or is down must not take the other metrics with it
        return float("nan")


def bounded(value: str, known: Iterable[str]) -> str:
    """`value` if it is a known one, else `other`: a label that outsiders can choose would fill the memory."""
    return value if value in known else OTHER

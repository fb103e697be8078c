"""Triage from the local store: which requests were slow, and which failed."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from extensions.reports.span_names import HTTP_METHOD, HTTP_STATUS
from foundation import names
from foundation.types import LAYERS, Layer
from observability.reports.layer_bill import OUTSIDE, layer_bill
from observability.stores.spans import PARENTS_FIRST, SpanRow, SpanStore

# Default number of latest traces to read
LOOKED_AT = 500
# Statuses of runs that gave the person no answer
UNHAPPY = ("failed", "refused", "escalated", "abstained")

_STATUS = f"coalesce(attributes ->> '$.\"{HTTP_STATUS}\"', 0)"
_METHOD = f"coalesce(attributes ->> '$.\"{HTTP_METHOD}\"', '')"
# without requests that only read, or were refused
_DONE = f"AND NOT ({_METHOD} IN ('GET', 'HEAD', 'OPTIONS') AND {_STATUS} < 500 OR {_STATUS} BETWEEN 400 AND 499)"


@dataclass(frozen=True, slots=True)
class Request:
    """One of the latest requests, and how it ended."""

    trace_id: str
    at: datetime
    """Start, UTC."""
    name: str
    ms: float
    tenant: str
    answer: str
    """Status of its last answer; empty without one."""
    failed: str
    """Class of the error that ended the request; empty without one."""


@dataclass(frozen=True, slots=True)
class SlowTrace:
    """One request, and where its time went."""

    trace_id: str
    name: str
    ms: float
    """Without the wait for its body."""
    layer: Layer
    """Layer that took the most time."""
    layer_ms: float
    span: str
    """Span with the most time of its own, without its children."""
    span_ms: float


@dataclass(frozen=True, slots=True)
class LayerTime:
    """The time of one layer over many requests."""

    layer: Layer
    p50_ms: float
    p95_ms: float
    share: float
    """Share of the time of all requests together."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind of failure, with the place where it began."""

    where: str
    layer: str
    error: str
    traces: int
    latest: str
    """Trace id of the latest one."""


def latest(store: SpanStore, limit: int, *, every: bool = False) -> list[Request]:
    """Return the latest requests, newest first; `every`: also those that only read, or were refused."""
    roots = store.recent(limit, "" if every else _DONE)
    spans = _spans_of(store, [root.trace_id for root in roots])
    return [_request(root, spans[root.trace_id]) for root in roots]


def looked_at(store: SpanStore, look_at: int = LOOKED_AT) -> str:
    """Describe in words the requests behind the figures."""
    roots = store.recent(look_at)
    if not roots:
        return "No request is stored yet."
    return f"Of the latest {len(roots)} requests, since {_at(roots[-1]):%Y-%m-%d %H:%M} UTC."


def slow(store: SpanStore, *, limit: int = 10, look_at: int = LOOKED_AT) -> tuple[list[SlowTrace], list[LayerTime]]:
    """Return the slowest of the latest requests, slowest first, and each layer's time over all of them."""
    import numpy as np

    requests = [_slow_trace_of(root, spans) for root, spans in _with_spans(store, look_at)]
    whole_ms = sum(request.ms for request, _ in requests)
    times = []
    for layer in LAYERS if requests else ():
        ms = [layers[layer] for _, layers in requests]
        p50, p95 = (float(value) for value in np.percentile(ms, [50, 95]))
        times.append(LayerTime(layer, p50, p95, sum(ms) / whole_ms if whole_ms else 0.0))
    return sorted((request for request, _ in requests), key=lambda request: -request.ms)[:limit], times


def failures(
    store: SpanStore, *, look_at: int = LOOKED_AT, since: datetime | None = None
) -> tuple[list[Failure], dict[str, int]]:
    """Return kinds of failure in the latest requests, most frequent first, and counts of unhappy answers by status."""
    traces: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    statuses: dict[str, int] = defaultdict(int)
    for root, spans in _with_spans(store, look_at):
        if since is not None and _at(root) < since:
            continue
        failed = [span for span in spans if span.status == "error"]
        # a failure fails every span around it: only those that no failed child explains are where it began
        causes = {span.parent_id for span in failed}
        for span in failed:
            # libraries write the class with its module
            error = str(span.attribute(names.ERROR_TYPE) or "unknown").rpartition(".")[2]
            key = (span.name, span.layer or "", error)
            if span.span_id not in causes and root.trace_id not in traces[key]:
                traces[key].append(root.trace_id)
        for status in map(_status, spans):
            if status in UNHAPPY:
                statuses[status] += 1
    kinds = [Failure(*key, len(ids), ids[0]) for key, ids in traces.items()]
    return sorted(kinds, key=lambda failure: (-failure.traces, failure.where)), dict(statuses)


def _with_spans(store: SpanStore, look_at: int) -> list[tuple[SpanRow, list[SpanRow]]]:
    """Return the latest requests, without those that a person ended: nobody waited for them."""
    roots = [root for root in store.recent(look_at) if not _ended_by_person(root)]
    spans = _spans_of(store, [root.trace_id for root in roots])
    return [(root, spans[root.trace_id]) for root in roots]


def _spans_of(store: SpanStore, trace_ids: Sequence[str]) -> dict[str, list[SpanRow]]:
    """Return all spans of these traces by trace id, each trace's by start time."""
    spans: dict[str, list[SpanRow]] = {trace_id: [] for trace_id in trace_ids}
    wanted = "WHERE trace_id IN (SELECT value FROM json_each(?))"
    for row in store.rows(f"{wanted} ORDER BY {PARENTS_FIRST}", json.dumps(list(trace_ids))):
        spans[row.trace_id].append(row)
    return spans


def _request(root: SpanRow, spans: Sequence[SpanRow]) -> Request:
    tenant = next((str(value) for span in reversed(spans) if (value := span.attribute(names.TENANT)) is not None), "")
    answer = next(filter(None, map(_status, reversed(spans))), "")
    error = str(root.attribute(names.ERROR_TYPE) or "failed") if root.status == "error" else ""
    return Request(root.trace_id, _at(root), root.name, root.ms, tenant, answer, _ended_by_person(root) or error)


def _status(span: SpanRow) -> str:
    """Return the status of the answer that the span ended with; an agent that raised an error gave none."""
    raised = span.status == "error" and span.name.startswith(names.INVOKE_AGENT)
    return str(span.attribute(names.STATUS) or ("failed" if raised else ""))


def _ended_by_person(root: SpanRow) -> str:
    """Return how a person ended the request: by leaving, or by Ctrl-C; empty if nobody did."""
    status, error = root.attribute(HTTP_STATUS), root.attribute(names.ERROR_TYPE)
    # a stream has sent its status; without one it is a provider that could not be reached
    if status == 499 or (status == 200 and error == "ConnectionError"):
        return "caller left"
    return "interrupted" if error == "KeyboardInterrupt" else ""


def _at(span: SpanRow) -> datetime:
    return datetime.fromtimestamp(span.start_ns / 1e9, UTC)


def _slow_trace_of(root: SpanRow, spans: Sequence[SpanRow]) -> tuple[SlowTrace, dict[Layer, float]]:
    """Return a request and the milliseconds of each layer, without the wait for its body."""
    layers = {share.layer: share.ms for share in layer_bill(spans, ()).shares}
    client_ms = min(layers[OUTSIDE], 1000 * float(root.attribute(names.BODY_WAIT_SECONDS) or 0))
    layers[OUTSIDE] -= client_ms
    worst = max(layers, key=lambda layer: layers[layer])
    longest_ms, longest = max(
        (_own_ms(span, spans) - client_ms * (span.span_id == root.span_id), span.name) for span in spans
    )
    return SlowTrace(root.trace_id, root.name, sum(layers.values()), worst, layers[worst], longest, longest_ms), layers


def _own_ms(span: SpanRow, spans: Sequence[SpanRow]) -> float:
    covered, until = 0, span.start_ns
    children = sorted(
        (child.start_ns, min(child.end_ns, span.end_ns)) for child in spans if child.parent_id == span.span_id
    )
    for start, end in children:
        # concurrent children are not counted twice
        covered += max(0, end - max(start, until))
        until = max(until, end)
    return (span.end_ns - span.start_ns - covered) / 1e6

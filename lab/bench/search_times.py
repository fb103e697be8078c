"""Where the time of a query goes: its embedding, the two searches, the ledger's look-ups and checks, and the fusion.

Each is timed by itself, so they must run one after the other: `AtOnce` is for a retriever that would run some side by side.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np

from foundation.types import Scope
from retrieval.contract import Retriever

Parts = Mapping[str, Any]
"""The parts that a retriever is built from, by name: ledger, vectors, embedder, reranker."""

_LEGS = {
    ("embedder", "embed_query"): "embed",
    ("ledger", "keyword_search"): "keyword",
    ("vectors", "search"): "vector",
    ("ledger", "documents_of"): "check",
    ("ledger", "hits"): "check",
    ("reranker", "score"): "rerank",
}


class AtOnce(Executor):
    """Does what it is given before it returns."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def search_times(
    queries: Sequence[str], parts: Parts, build: Callable[[Parts], Retriever], scope: Scope, *, limit: int
) -> dict[str, float]:
    """Median milliseconds of each leg over `queries`, each asked once unmeasured before.

    `check_p50_ms` is all that the ledger costs beyond the searches: which candidate belongs to which document and may
    be shown, reading what is shown, and the second check of its scope. The filters inside the two searches are in the
    times of these. `fusion_p50_ms` is what is left of the whole. `check_cpu_p50_ms` is the processor time of the checks,
    which other programs on the machine make no longer; 0 where its clock ticks too slowly to see them (10 ms on some).
    Without a reranker there is no `rerank_p50_ms`.
    """
    spent: defaultdict[str, float] = defaultdict(float)
    used: defaultdict[str, float] = defaultdict(float)

    def timed(leg: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*given: Any, **named: Any) -> Any:
            begun, begun_cpu = time.perf_counter(), time.thread_time()
            try:
                return work(*given, **named)
            finally:
                spent[leg] += (time.perf_counter() - begun) * 1000
                used[leg] += (time.thread_time() - begun_cpu) * 1000

        return measured

    class Checked(Scope):
        def admits(self, tenant: str, groups: frozenset[str]) -> bool:
            return bool(timed("check", super().admits)(tenant, groups))

    def observed(name: str, part: Any) -> Any:
        return _Watched(
            part, {method: timed(leg, getattr(part, method)) for (of, method), leg in _LEGS.items() if of == name}
        )

    watched = {name: part if part is None else observed(name, part) for name, part in parts.items()}
    retriever, who = build(watched), Checked(scope.tenant, scope.groups, scope.classes)
    rows: defaultdict[str, list[float]] = defaultdict(list)
    for query in queries:
        retriever.retrieve(query, scope, limit=limit)
        spent.clear()
        used.clear()
        begun = time.perf_counter()
        retriever.retrieve(query, who, limit=limit)
        whole = (time.perf_counter() - begun) * 1000
        for leg in dict.fromkeys(leg for (part, _), leg in _LEGS.items() if parts[part] is not None):
            rows[leg].append(spent[leg])
        rows["fusion"].append(whole - sum(spent.values()))
        rows["check_cpu"].append(used["check"])
    return {f"{leg}_p50_ms": float(np.median(times)) for leg, times in rows.items()}


class _Watched:
    """A part with some of its methods replaced."""

    def __init__(self, part: Any, methods: Mapping[str, Any]) -> None:
        self._part = part
        self.__dict__.update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)

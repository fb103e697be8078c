"""Workers on a Ray cluster that parse, cut and embed documents.

The tasks have no store: this process commits their results in the order of sending, so that a task which is lost with
its machine can be repeated. Ray Data is not used because it needs all documents before it begins.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation import components
from foundation.components import Context
from foundation.errors import ComponentError, FingerprintMismatch, MissingDependency, SixplyError, StoreUnavailable
from foundation.types import EVERY_TENANT
from models.contract import Call, requests_made
from models.embedding import on_behalf_of
from retrieval.contract import Chunker
from retrieval.documents import Fingerprint, ParseLimits
from retrieval.index.maintenance import fingerprint_of
from retrieval.ingest.parsing import CORE, parser_versions
from retrieval.ingest.preparation import Item, Outcome, Preparation
from retrieval.ingest.sandbox import ParserPool

if TYPE_CHECKING:
    from extensions.ray.settings import RaySettings
    from foundation.settings import Part
    from retrieval.settings import ParsingSettings, RetrievalSettings

# Batches under way for each worker: one in work, one queued, one waiting to be stored
AHEAD = 3
# Most retries of a batch whose worker died, so that a document which kills every worker ends the ingest
RETRIES = 10
# Ray refuses a second join of one process, also one at the same time
_JOINING = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class _Parts:
    embedder: Part
    chunker: Part
    parsing: ParsingSettings
    seed: int
    threads: int
    fingerprint: Fingerprint
    parsers: frozenset[str]
    limits: ParseLimits


class RayWorkers:
    """`Workers` on a cluster that may grow and shrink meanwhile. Connects at the first use."""

    def __init__(
        self,
        cluster: RaySettings,
        fingerprint: Fingerprint,
        *,
        embedder: Part,
        retrieval: RetrievalSettings,
        seed: int,
        limits: ParseLimits = CORE,
        pay: Callable[[Call], object] = lambda _: None,
    ) -> None:
        """Raises MissingDependency: Ray is not installed."""
        demand_ray()
        self._cluster, self._ours, self._pay = cluster, False, pay
        parts = _Parts(
            embedder=embedder,
            chunker=retrieval.chunker,
            parsing=retrieval.parsing,
            seed=seed,
            threads=max(1, int(cluster.cpus)),
            fingerprint=fingerprint,
            parsers=parser_versions(limits),
            limits=limits,
        )
        # What every task is told, pickled once
        self.parts = pickle.dumps(parts)

    def prepare(self, batches: Iterable[Sequence[Item]]) -> Iterator[list[Outcome]]:
        """Prepare batches in order. Raises ComponentError; FingerprintMismatch: a worker has other parts."""
        import ray

        self._ours = connect(self._cluster) or self._ours
        prepare = ray.remote(_prepare).options(
            num_cpus=self._cluster.cpus, max_retries=RETRIES, name="sixply: prepare documents"
        )
        parts = ray.put(self.parts)
        under_way: deque[tuple[set[str], Any]] = deque()
        for batch in batches:
            under_way.append(({item.source.tenant for item in batch}, prepare.remote(parts, list(batch))))
            resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
            slots = max(1, int(resources.get("CPU", 0) / self._cluster.cpus))  # of the cluster as it is now
            while len(under_way) >= AHEAD * slots:
                yield self._paid_results(*under_way.popleft())
        while under_way:
            yield self._paid_results(*under_way.popleft())

    def _paid_results(self, tenants: set[str], prepared: Any) -> list[Outcome]:
        results, requests = _results_of(prepared)
        with on_behalf_of(tenants.pop() if len(tenants) == 1 else EVERY_TENANT):
            for request in requests:
                self._pay(request)
        return results

    def close(self) -> None:
        """Leave the cluster, if this object joined it."""
        if self._ours:
            import ray

            ray.shutdown()
            self._ours = False


def demand_ray() -> None:
    """Raises MissingDependency: Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise MissingDependency(
            'The extension "ray" needs the Python package "ray", which is not installed. Run: make setup WITH=ray'
        )


def connect(cluster: RaySettings) -> bool:
    """Join the cluster; return whether this process had not yet. Raises StoreUnavailable: none answers."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage reports
    import ray

    with _JOINING:
        if ray.is_initialized():
            return False
        alone: dict[str, Any] = {} if cluster.address or os.environ.get("RAY_ADDRESS") else {"include_dashboard": False}
        try:
            ray.init(
                address=cluster.address or None,
                log_to_driver=False,
                configure_logging=False,
                namespace="sixply",
                **alone,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise StoreUnavailable(
                f"No Ray cluster can be reached at {cluster.address or os.environ.get('RAY_ADDRESS') or 'this machine'}: "
                f"{error}. Start it (ray start --head), or correct [ray] address."
            ) from error
    return True


def _results_of(prepared: Any) -> tuple[list[Outcome], list[Call]]:
    import ray

    try:
        results: tuple[list[Outcome], list[Call]] = ray.get(prepared)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, SixplyError):
            raise error.cause from error
        raise ComponentError(f"A worker could not prepare documents: {error.cause!r}. Its log says more.") from error
    except ray.exceptions.RayError as error:
        raise StoreUnavailable(
            f"The Ray cluster gave no result: {error}. What was committed stays; ingest again."
        ) from error
    return results


def _prepare(parts: bytes, items: list[Item]) -> tuple[list[Outcome], list[Call]]:
    requests_made.set(requests := list[Call]())
    return preparation_of(parts).prepare(items), requests


@lru_cache(maxsize=1)
def preparation_of(parts: bytes) -> Preparation:
    """Build this worker's parts, once for all tasks. Raises FingerprintMismatch: they differ from the sender's."""
    from langchain_core.embeddings import Embeddings

    chosen: _Parts = pickle.loads(parts)  # noqa: S301 - from the process that started this one
    with tempfile.TemporaryDirectory(prefix="sixply-") as folder:
        context = Context(data_dir=Path(folder), seed=chosen.seed, threads=chosen.threads)
        embedder = components.load("models.embedder", chosen.embedder, context, expected=Embeddings)
        chunker = components.load("retrieval.chunker", chosen.chunker, context, expected=Chunker)
    own_fingerprint = fingerprint_of(chosen.embedder.use, embedder, chunker)
    difference = chosen.fingerprint.differs_from(own_fingerprint)
    if parsers := chosen.parsers ^ parser_versions(chosen.limits):
        difference = f"only one of them has the parsers {', '.join(sorted(parsers))}"
    if difference:
        raise FingerprintMismatch(
            f"The worker on {os.uname().nodename} has other parts than the process that stores the documents: {difference}. "
            f"Install the same version of everything on every machine of the cluster."
        )
    return Preparation(embedder=embedder, chunker=chunker, parse=ParserPool(chosen.parsing, chosen.limits).parse)

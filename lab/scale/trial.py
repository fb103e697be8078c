"""Trials on a local Ray cluster of several nodes: `make scale`. What they promise stands in docs/scale.md.

Every node is a process group of this machine with one processor of its own, which the cluster believes. So the trials
show that nothing is lost or changed, and what a second worker brings where there is a second core.
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psutil

from extensions.ray.ingest import demand_ray
from extensions.ray.settings import RaySettings
from foundation.errors import InvalidRequest
from foundation.settings import Part
from foundation.types import Scope
from lab.library import open_library
from retrieval.build import Retrieval
from retrieval.documents import Entry, Source
from retrieval.index.maintenance import catch_up
from retrieval.ingest.pipeline import SENT_ITEMS, IngestReport
from retrieval.ingest.preparation import Item, Outcome, PreparedDocument
from serving.cli import terminal
from serving.settings import Loaded, with_sections

if TYPE_CHECKING:
    from lab.scale.capacity import Measured

Progress = Callable[[str, int, int], None]

TENANT = "north"
STORE_MB = 80
"""Shared memory of a node: nothing stays in it but batches under way."""
PATIENT = {
    "health_check_initial_delay_ms": 5000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 10_000,
    "health_check_failure_threshold": 5,
}
"""How the head notices that a node is gone. A busy machine answers late; a dead one not at all, and that shows at once."""
FOUND = 5
"""Passages of each search that are compared."""
ENOUGH_S = 0.2
"""Of processor time, to measure it: on some machines its clock ticks every 10 ms, and less is done once more."""
TOPICS = ("refunds", "printers", "travel", "parental leave", "passwords", "the canteen", "invoices", "visitors")
RULES = (
    "Whoever asks about {} gets an answer within {} days.",
    "For {} the form {} is to be filled in and signed twice.",
    "Nobody decides on {} alone; {} people look at each case.",
    "What was said on {} before the year {} no longer holds.",
    "Costs of {} above {} euro need a second signature.",
)


@dataclass(frozen=True)
class Order:
    loaded: Loaded
    documents: int
    nodes: int
    seed: int = 7


def run(order: Order, json: Path | None) -> bool:
    """`sixply scale`: whether the cluster stored exactly what one process stores, also after the loss of a node."""
    with terminal.progress() as progress:
        report = scale(order, progress)
    if not terminal.write_json(json, report):
        _show(report)
    return not any(each["differences"] for each in report["ingest"].values())


def scale(order: Order, progress: Progress) -> dict[str, Any]:
    """The report.

    Raises:
        MissingDependency: Ray is not installed. InvalidRequest: fewer than two nodes.
    """
    demand_ray()
    if order.nodes < 2:
        raise InvalidRequest(f"{order.nodes} node is no cluster that could lose one. Say --nodes 2, or more.")
    items = list(documents(order.documents, order.seed))
    stored: dict[str, Stored] = {}

    def trial(name: str, cluster: Any = None, *, kill: bool = False, offered: list[Item] = items) -> Stored:
        watch = _Watch(lambda done: progress(name, done, len(offered)), cluster, len(offered) // 3 if kill else None)
        with tempfile.TemporaryDirectory(prefix="scale-") as folder, _apart(order.loaded, Path(folder)) as loaded:
            return _ingested(loaded, offered, watch)

    stored["one process"] = trial("one process")
    begun = time.perf_counter()
    with _cluster(order.nodes) as cluster:
        trial("start the workers", cluster, offered=items[: 6 * SENT_ITEMS * order.nodes])
        start_s = time.perf_counter() - begun
        for name, kill in ((f"{order.nodes} nodes", False), (f"{order.nodes} nodes, one killed", True)):
            stored[name] = trial(name, cluster, kill=kill)
        for node in list(cluster.worker_nodes)[1:]:
            cluster.remove_node(node)
        stored["1 node"] = trial("1 node", cluster)
    return {
        "documents": len(items),
        "cores": psutil.cpu_count(),
        "load_average": os.getloadavg()[0],
        "start_s": start_s,
        "ingest": {name: figures(found, stored["one process"], len(items)) for name, found in stored.items()},
    }


class _Watch:
    """Passes on the progress, and kills a node when so many documents are committed."""

    def __init__(self, told: Callable[[int], None], cluster: Any, kill_at: int | None) -> None:
        self.cluster = cluster
        self._told, self._kill_at = told, kill_at
        self.killed_at: int | None = None

    def __call__(self, done: int) -> None:
        self._told(done)
        if self._kill_at is not None and self.killed_at is None and done >= self._kill_at:
            self.killed_at = done
            self.cluster.remove_node(next(iter(self.cluster.worker_nodes)), allow_graceful=False)


def documents(count: int, seed: int) -> Iterator[Item]:
    """Documents of our own in three formats. One in 40 comes under the name of an earlier one, one in 50 is refused, one in
    70 is offered twice.
    """
    chance = random.Random(seed)
    last: Item | None = None
    for number in range(count):
        name = f"rules/{chance.randrange(number) if number % 40 == 39 else number}"
        if number % 50 == 49:
            last = Item(Source(f"{name}.md", TENANT), b"\x00\x01" * 20, "refused.md")
        elif number % 70 != 69 or last is None:
            last = _document(name, number, chance)
        yield last


def _document(name: str, number: int, chance: random.Random) -> Item:
    topic = chance.choice(TOPICS)
    said = [chance.choice(RULES).format(topic, chance.randrange(2, 3000)) for _ in range(chance.randrange(4, 16))]
    match number % 10:
        case 0:
            rows = "\n".join(f"{place},{text}" for place, text in enumerate(said))
            suffix, text = "csv", f"number,rule\n{rows}\n"
        case 1:
            suffix, text = "html", f"<h1>On {topic}</h1>" + "".join(f"<p>{each}</p>" for each in said)
        case _:
            suffix, text = "md", f"# On {topic}\n\n## Rule {number}\n\n" + "\n\n".join(said)
    return Item(Source(f"{name}.{suffix}", TENANT), text.encode(), f"rule.{suffix}")


@dataclass(frozen=True)
class Stored:
    """What a trial left in the ledger and what it said; all of it is to be the same in every trial."""

    report: IngestReport
    seconds: float
    digests: dict[str, str]
    counts: dict[str, int]
    killed_at: int | None = None


def _ingested(loaded: Loaded, items: list[Item], watch: _Watch) -> Stored:
    if watch.cluster:
        loaded = _with_cluster(loaded, watch.cluster.address)
    with open_library(loaded) as library:
        library.ingestor.ingest(items[:1])  # joins the cluster
        library.ingestor.delete(items[0].source.uri, items[0].source.tenant, scope=None)
        begun = time.perf_counter()
        report = library.ingestor.ingest(items, progress=watch)
        return _stored(library, report, time.perf_counter() - begun, watch.killed_at)


def _stored(library: Retrieval, report: IngestReport, seconds: float, killed_at: int | None) -> Stored:
    scope = Scope(TENANT)
    kept = {
        "documents": (
            (asdict(entry.source) | {"groups": sorted(entry.source.groups)}, entry.content_hash, entry.parsed, entry.chunks, entry.vectors.tobytes())
            for entry in sorted(library.ledger.entries(), key=lambda entry: entry.source.document_id)
        ),
        "order": ((each.sequence, each.chunk_id) for each in library.ledger.embeddings()),
        "deletions": iter(library.ledger.deletions()),
        "refusals": ((each.uri, each.reason, each.message) for each in sorted(library.ledger.refusals(scope), key=lambda one: one.uri)),
        "found": (
            # Their scores depend on the last candidates too, which a graph built at random may choose otherwise.
            sorted(hit.chunk.chunk_id for hit in library.retriever.retrieve(f"Who decides on {topic}?", scope)[:FOUND])
            for topic in TOPICS
        ),
    }  # fmt: skip
    digests, counts = {}, {}
    for name, rows in kept.items():
        digest = hashlib.blake2b(digest_size=16)
        counts[name] = 0
        for row in rows:
            digest.update(repr(row).encode())
            counts[name] += 1
        digests[name] = digest.hexdigest()
    counts |= {"chunks": library.ledger.chunk_count(), "vectors": library.vectors.count()}
    return Stored(report, seconds, digests, counts, killed_at)


def figures(found: Stored, alone: Stored, offered: int) -> dict[str, Any]:
    told = {name: getattr(found.report, name) for name in ("added", "replaced", "unchanged", "chunks")}
    told["refused"] = len(found.report.refused)
    as_told = {name: getattr(alone.report, name) for name in told if name != "refused"} | {
        "refused": len(alone.report.refused)
    }
    told_of = {"killed_at": found.killed_at} if found.killed_at is not None else {}
    differences = [name for name, digest in found.digests.items() if digest != alone.digests[name]]
    differences += [name for name, count in found.counts.items() if count != alone.counts[name]]
    differences += [name for name, count in told.items() if count != as_told[name]]
    return {
        "seconds": found.seconds,
        "documents_per_s": offered / found.seconds,
        "times_one_process": alone.seconds / found.seconds,
        "differences": sorted(set(differences)),
        **told,
        **told_of,
    }


@contextmanager
def _cluster(nodes: int) -> Iterator[Any]:
    """A head that does no work, and nodes of one processor each."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    logging.getLogger("ray").setLevel(logging.WARNING)
    small: dict[str, Any] = {"object_store_memory": STORE_MB << 20}
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "_system_config": PATIENT} | small,
    )
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=1, **small)
        cluster.wait_for_nodes(timeout=120)
        yield cluster
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]


def _with_cluster(loaded: Loaded, address: str) -> Loaded:
    settings = loaded.settings
    names = (*settings.extensions, "workers", "ray")
    sections = dict(settings) | {"extensions": names, "ray": RaySettings(address=address)}
    return Loaded(with_sections(names)(**sections), loaded.origins)


@contextmanager
def _apart(loaded: Loaded, folder: Path) -> Iterator[Loaded]:
    """The same configuration with stores of its own, which are gone afterwards."""
    settings = loaded.settings
    foundation = settings.foundation.model_copy(update={"data_dir": folder})
    namespace = f"scale_{uuid4().hex[:12]}"
    parts = {}
    for name in ("ledger", "vectors"):
        part: Part = getattr(settings.retrieval, name)
        shared = part.use in {"postgres", "pgvector"}
        parts[name] = Part(use=part.use, **(part.options | {"namespace": namespace})) if shared else part
    retrieval = settings.retrieval.model_copy(update=parts)
    try:
        yield Loaded(settings.model_copy(update={"foundation": foundation, "retrieval": retrieval}), loaded.origins)
    finally:
        for part in parts.values():
            if "namespace" in part.options:
                _drop(part)


def _drop(part: Part) -> None:
    import psycopg

    from extensions.postgres.database import PostgresOptions

    options = PostgresOptions(**{key: part.options[key] for key in ("dsn", "namespace") if key in part.options})
    with psycopg.connect(options.dsn.get_secret_value(), connect_timeout=options.connect_timeout_s) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {options.namespace} CASCADE".encode())


def _show(report: dict[str, Any]) -> None:
    rows = [
        (
            name,
            f"{one['documents_per_s']:.0f}",
            f"{one['times_one_process']:.2f}",
            ", ".join(one["differences"]) or "none",
        )
        for name, one in report["ingest"].items()
    ]
    terminal.show_table([f"ingest of {report['documents']}", "documents/s", "times one process", "differences"], rows)
    terminal.show_note(
        f"{report['cores']} cores, load average {report['load_average']:.1f} at the end. Nodes of one machine share its cores."
    )


def run_model(loaded: Loaded, *, count: int, json: Path | None, plot: Path | None) -> None:
    """`sixply scale-model`."""
    from lab.bench.figures import standalone
    from lab.scale import capacity

    measured = measure(loaded, count)
    if plot:
        plot.parent.mkdir(parents=True, exist_ok=True)
        plot.write_text(standalone(capacity.plot(capacity.model(measured))), encoding="utf-8")
    if not terminal.write_json(json, capacity.report(measured) | {"load_average": os.getloadavg()[0]}):
        terminal.show(capacity.table(capacity.model(measured)))
        terminal.show_note(
            f"From {measured.passages} passages of {measured.characters:.0f} characters: {measured.embedded_per_core_s:.0f} "
            f"prepared in a second of each of {measured.cores} cores, {measured.committed_per_s:.0f}/s committed, load average "
            f"{os.getloadavg()[0]:.1f}. The rest is arithmetic: lab/scale/capacity.py."
        )


def measure(loaded: Loaded, count: int) -> Measured:
    """What a passage takes with the configured parts: `count` documents are prepared, committed and indexed, one after the
    other, so that each can be timed.
    """
    from lab.scale.capacity import Measured

    items = [item for item in documents(count, 7) if item.name != "refused.md"]
    items = list({item.source.document_id: item for item in items}.values())
    with tempfile.TemporaryDirectory(prefix="scale-") as folder, _apart(loaded, Path(folder)) as apart:
        with open_library(apart) as library:
            preparation = library.ingestor.preparation
            preparation.prepare(items[:10])  # the model is compiled for lengths that it has seen
            prepared: list[Outcome] = []
            rounds, begun = 0, time.process_time()
            while (prepared_s := time.process_time() - begun) < ENOUGH_S:
                prepared = preparation.prepare(items)
                rounds += 1
            entries = [
                Entry(item.source, "measured", each.parsed, each.chunks, each.vectors)
                for item, each in zip(items, prepared, strict=True)
                if isinstance(each, PreparedDocument)
            ]
            begun = time.perf_counter()
            for start in range(0, len(entries), 64):
                library.ledger.put(entries[start : start + 64])
            committed_s = time.perf_counter() - begun
            begun = time.perf_counter()
            catch_up(library.ledger, library.vectors)
            indexed_s = time.perf_counter() - begun
            chunks = library.ledger.chunk_count()
        sizes = {path: path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()}  # all is written now
    return Measured(
        passages=chunks,
        characters=sum(len(chunk.text) for entry in entries for chunk in entry.chunks) / chunks,
        dimensions=entries[0].vectors.shape[1],
        cores=psutil.cpu_count() or 1,
        embedded_per_core_s=rounds * chunks / prepared_s,
        committed_per_s=chunks / committed_s,
        indexed_per_s=chunks / indexed_s,
        ledger_bytes=sum(size for path, size in sizes.items() if path.name.startswith("ledger")) / chunks,
        disk_bytes=sum(sizes.values()) / chunks,
        usd_per_hour=loaded.settings.models.machine_usd_per_hour,
    )

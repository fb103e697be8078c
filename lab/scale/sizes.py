"""What a question, a change and a start cost among so many passages: `make scale-sizes`.

Passages are made-up words with the frequencies of a language, 60 each and ten a document; vectors are sums of their words' vectors, so no
model is billed but the embedder's own, beside them. One passage in a hundred belongs to a small tenant. Every step runs in a process of its own.
"""

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings

from foundation.components import load
from foundation.machine.process import peak_rss_mb
from foundation.types import Scope
from lab.library import open_library
from retrieval.build import Retrieval
from retrieval.documents import Chunk, Entry, Parsed, Source, Vectors
from retrieval.index.maintenance import catch_up
from serving.cli import terminal
from serving.cli.options import load_stack
from serving.settings import Loaded, context_of

DIMENSIONS = 384
BIG, SMALL = Scope("big"), Scope("small")
# One document in so many belongs to the small tenant
SHARE = 100
ASKED, CALLERS, DEPTH = 100, 4, 150
_VOCABULARY, _WORDS, _OF_A_DOCUMENT, _TOGETHER = 50_000, 60, 10, 64
_EMBEDDER: dict[str, object] = {"models": {"embedder": {"use": "hashing", "dimensions": DIMENSIONS}}}


@dataclass(frozen=True)
class Trial:
    """A stack whose data are in a folder of their own; it travels to the process of a step."""

    stack: Path
    folder: Path
    passages: int

    def load(self) -> Loaded:
        return load_stack(self.stack, {**_EMBEDDER, "foundation": {"data_dir": str(self.folder)}})


def run(stack: Path, sizes: Sequence[int], json: Path | None) -> None:
    """Measure each size, and show or write the figures."""
    rows = []
    for passages in sizes:
        with tempfile.TemporaryDirectory(prefix="sizes-") as folder:
            trial = Trial(stack, Path(folder), passages)
            steps = (fill, ask, change, embed)
            rows.append({"passages": passages} | {name: value for step in steps for name, value in alone(step, trial)})
        terminal.show_note(f"{passages:,} passages are measured.")
    report = {"sizes": rows, "cores": os.cpu_count(), "load_average": os.getloadavg()[0]}
    if not terminal.write_json(json, report):
        names = list(rows[0])
        terminal.show_table(["", *(f"{row['passages']:,}" for row in rows)], [_line(name, rows) for name in names[1:]])
        terminal.show_note(f"{report['cores']} cores, load average {report['load_average']:.1f} at the end.")


def _line(name: str, rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    return name, *(f"{row[name]:,.3g}" if row[name] < 100 else f"{row[name]:,.0f}" for row in rows)


def alone(step: Callable[[Trial], dict[str, float]], trial: Trial) -> list[tuple[str, float]]:
    """Run a step in a fresh process, whose memory is then its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return list(pool.submit(step, trial).result().items())


def fill(trial: Trial) -> dict[str, float]:
    """Store all passages as an ingest does, without embedding them."""
    spent, used = 0.0, 0.0
    with open_library(trial.load()) as library:
        for batch in _batches(trial.passages):
            begun, begun_cpu = time.perf_counter(), time.process_time()
            library.ledger.put(batch)
            catch_up(library.ledger, library.vectors)
            spent += time.perf_counter() - begun
            used += time.process_time() - begun_cpu
        begun = time.perf_counter()
    disk = sum(file.stat().st_size for file in trial.folder.rglob("*") if file.is_file())
    return {
        "ingest passages/s": trial.passages / spent,
        "ingest cpu ms/passage": used / trial.passages * 1000,
        "close s": time.perf_counter() - begun,
        "disk MB": disk / 1e6,
    }


def ask(trial: Trial) -> dict[str, float]:
    """Open what is stored, and ask."""
    begun = time.perf_counter()
    with open_library(trial.load()) as library:
        opened = time.perf_counter() - begun
        queries = _queries(ASKED, trial.passages)
        library.retriever.retrieve(queries[0], BIG)
        first = time.perf_counter() - begun
        library.retriever.retrieve(queries[1], SMALL)
        day = library.context.clock.now().date()
        vectors = _vectors(np.random.default_rng(1), _draw(np.random.default_rng(2), ASKED))
        figures = {
            "open s": opened,
            "first answer s": first,
            **_time("question", lambda at: library.retriever.retrieve(queries[at], BIG)),
            **_time("small tenant", lambda at: library.retriever.retrieve(queries[at], SMALL)),
            **_time("words", lambda at: library.ledger.keyword_search(queries[at], BIG, limit=DEPTH, as_of=day)),
            **_time("vectors", lambda at: library.vectors.search(vectors[at], BIG, limit=DEPTH)),
            "questions/s, one caller": _rate(library, queries, 1),
            f"questions/s, {CALLERS} callers": _rate(library, queries, CALLERS),
            "peak memory MB": peak_rss_mb(),
        }
        return figures | _recall(library, vectors[:50])


def change(trial: Trial) -> dict[str, float]:
    """Replace a document and delete one, each found or gone at once."""
    with open_library(trial.load()) as library:
        entries = next(_batches(trial.passages))[1:]
        library.retriever.retrieve("word1", BIG)

        def update(at: int) -> None:
            library.ledger.put([entries[at]])
            catch_up(library.ledger, library.vectors)

        def delete(at: int) -> None:
            library.ledger.delete(entries[at].source.document_id)
            catch_up(library.ledger, library.vectors)

        def update_and_ask(at: int) -> None:
            update(at)
            library.retriever.retrieve(asked[at], BIG)

        asked = _queries(ASKED, trial.passages)
        return {
            **_time("update", update, 20),
            **_time("update and question", update_and_ask, 20),
            **_time("delete", delete, 20),
        }


def embed(trial: Trial) -> dict[str, float]:
    """What the configured embedder adds to a question, and how many passages it embeds."""
    settings = load_stack(trial.stack).settings
    embedder = load("models.embedder", settings.models.embedder, context_of(settings), expected=Embeddings)
    texts = [chunk.text for entry in next(_batches(_TOGETHER * _OF_A_DOCUMENT)) for chunk in entry.chunks]
    queries = _queries(ASKED, trial.passages)
    embedder.embed_query(queries[0])
    begun = time.perf_counter()
    embedder.embed_documents(texts)
    rate = len(texts) / (time.perf_counter() - begun)
    return {"embedder passages/s": rate, **_time("embedding a question", lambda at: embedder.embed_query(queries[at]))}


def _time(name: str, work: Callable[[int], object], times: int = ASKED) -> dict[str, float]:
    spent, used = [], []
    for at in range(times):
        begun, begun_cpu = time.perf_counter(), time.process_time()
        work(at)
        spent.append((time.perf_counter() - begun) * 1000)
        used.append((time.process_time() - begun_cpu) * 1000)
    p50, p95 = np.percentile(spent, (50, 95))
    return {f"{name} p50 ms": float(p50), f"{name} p95 ms": float(p95), f"{name} cpu ms": float(np.median(used))}


def _rate(library: Retrieval, queries: Sequence[str], callers: int) -> float:
    """Questions a second of so many threads, the median of three rounds."""
    rates = []
    for _ in range(3):
        ready = threading.Barrier(callers + 1)
        with ThreadPoolExecutor(callers, initializer=ready.wait) as pool:
            for _ in range(callers):
                pool.submit(int)
            ready.wait()
            begun = time.perf_counter()
            list(pool.map(lambda query: library.retriever.retrieve(query, BIG), queries))
            rates.append(len(queries) / (time.perf_counter() - begun))
    return float(np.median(rates))


def _recall(library: Retrieval, vectors: Vectors) -> dict[str, float]:
    """Return the share of the nearest by exact search that the index finds, and the milliseconds of the plain search in float32."""
    figures = {}
    for name, scope in (("big", BIG), ("small", SMALL)):
        nearest: list[dict[str, float]] = [{} for _ in vectors]
        plain = 0.0  # of one question, as who asks has no others to share a reading of all rows with
        for ids, rows in _read_stored(library, scope):
            begun = time.perf_counter()
            np.argpartition(rows @ vectors[0], -min(DEPTH, len(ids)))
            plain += time.perf_counter() - begun
            similarities = vectors @ rows.T
            for found, own in zip(nearest, similarities, strict=True):
                found.update((ids[at], float(own[at])) for at in np.argsort(-own)[:DEPTH])
        shares = []
        for vector, exact in zip(vectors, nearest, strict=True):
            wanted = sorted(exact, key=lambda name: -exact[name])[:DEPTH]
            hits = {name for name, _ in library.vectors.search(vector, scope, limit=DEPTH)}
            shares.append(len(hits.intersection(wanted)) / len(wanted))
        figures[f"recall at {DEPTH}, {name} tenant"] = float(np.mean(shares))
        figures[f"exact float32 in numpy, {name} tenant, ms"] = plain * 1000
    return figures


def _read_stored(library: Retrieval, scope: Scope) -> Iterator[tuple[list[str], Vectors]]:
    ids, rows = list[str](), list[Vectors]()
    with closing(library.ledger.embeddings()) as items:  # type: ignore[type-var]
        for item in items:
            if item.tenant == scope.tenant:
                ids.append(item.chunk_id)
                rows.append(item.vector)
            if len(ids) == 20_000:
                yield ids, np.stack(rows)
                ids, rows = [], []
    if ids:
        yield ids, np.stack(rows)


def _batches(passages: int) -> Iterator[list[Entry]]:
    chance = np.random.default_rng(7)
    for start in range(0, passages, _TOGETHER * _OF_A_DOCUMENT):
        count = min(_TOGETHER * _OF_A_DOCUMENT, passages - start)
        drawn = _draw(chance, count)
        vectors = _vectors(chance, drawn)
        yield [
            _entry(start + at, drawn[at : at + _OF_A_DOCUMENT], vectors[at : at + _OF_A_DOCUMENT])
            for at in range(0, count, _OF_A_DOCUMENT)
        ]


def _entry(number: int, drawn: Any, vectors: Vectors) -> Entry:
    of = number // _OF_A_DOCUMENT
    source = Source(f"{of:07}.txt", "small" if of % SHARE == SHARE - 1 else "big", media_type="text/plain")
    text, chunks = "", []
    for position, row in enumerate(drawn):
        passage = " ".join(f"word{each}" for each in row)
        place = f"{number + position:08}"
        chunks.append(Chunk(place, source.document_id, position, passage, len(text), len(text) + len(passage)))
        text += f"{passage}\n"
    return Entry(source, str(number), Parsed(text, ()), chunks, vectors)


def _draw(chance: np.random.Generator, count: int) -> Any:
    """Draw words, the first ones far more often than the last."""
    return (_VOCABULARY * chance.random((count, _WORDS)) ** 3).astype(np.intp)


def _vectors(chance: np.random.Generator, drawn: Any) -> Vectors:
    of_words = np.random.default_rng(3).standard_normal((997, DIMENSIONS)).astype(np.float32)
    rows = of_words[drawn[:, :12] % 997].sum(axis=1) + chance.standard_normal((len(drawn), DIMENSIONS))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def _queries(count: int, seed: int) -> list[str]:
    """Three words, of which two are common."""
    chance = np.random.default_rng(seed)
    common = chance.integers(5, 60, (count, 2))
    rare = chance.integers(2000, 30_000, count)
    return [f"word{one} word{two} word{three}" for (one, two), three in zip(common, rare, strict=True)]

"""What a question, an ingest, a change and a start cost among so many passages: `make scale-sizes`.

Passages are made-up words with the frequencies of a language, 60 each and ten a document. The library is filled with sums of their words'
vectors in place of the embedder's; questions, and the documents that are ingested into the full library, go through the configured embedder.
One passage in a hundred belongs to a small tenant. Every step runs in a process of its own. Beside them stand, on the same passages in the
same minutes: the plain search that everybody writes first (sentence-transformers on torch, one product with all vectors), tantivy alone, and
the embedder alone.
"""

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings

from foundation.components import load
from foundation.errors import InvalidRequest
from foundation.machine.process import peak_rss_mb
from foundation.types import Scope
from lab.library import open_library
from models import weights
from models.embedding import embed as embed_texts
from models.embedding import embed_query
from retrieval.build import Retrieval
from retrieval.documents import Chunk, Entry, Parsed, Source, Vectors
from retrieval.index.maintenance import catch_up
from retrieval.ingest.preparation import Item
from serving.cli import terminal
from serving.cli.options import load_stack
from serving.settings import Loaded, context_of

BIG, SMALL = Scope("big"), Scope("small")
# One document in so many belongs to the small tenant
SHARE = 100
ASKED, CALLERS, DEPTH = 100, 4, 150
# Documents of one ingest, and how often it is done: the middle one of the ratios counts
INGESTED, ROUNDS = 30, 5
_VOCABULARY, _WORDS, _OF_A_DOCUMENT, _TOGETHER = 50_000, 60, 10, 64


@dataclass(frozen=True)
class Trial:
    """A stack whose data are in a folder of their own; it travels to the process of a step."""

    stack: Path
    folder: Path
    passages: int
    dimensions: int = 0

    def load(self) -> Loaded:
        return load_stack(self.stack, {"foundation": {"data_dir": str(self.folder)}})


def run(stack: Path, sizes: Sequence[int], json: Path | None) -> None:
    """Measure each size, and show or write the figures."""
    rows = []
    for passages in sizes:
        with tempfile.TemporaryDirectory(prefix="sizes-") as folder:
            trial = Trial(stack, Path(folder), passages)
            terminal.show_note(f"{passages:,} passages: the embedder alone ...")
            row = {"passages": passages, **alone(embed, trial)}
            trial = replace(trial, dimensions=int(row.pop("dimensions")))
            for step in (fill, ask, search_plainly, search_words, take_in, change):
                terminal.show_note(f"{passages:,} passages: {step.__name__.replace('_', ' ')} ...")
                row |= alone(step, trial)
        rows.append(row | compare(row))
        terminal.show_note(f"{passages:,} passages are measured.")
    report = {"sizes": rows, "cores": os.cpu_count(), "load_average": os.getloadavg()[0]}
    if not terminal.write_json(json, report):
        names = list(rows[0])
        terminal.show_table(["", *(f"{row['passages']:,}" for row in rows)], [_line(name, rows) for name in names[1:]])
        terminal.show_note(f"{report['cores']} cores, load average {report['load_average']:.1f} at the end.")


def _line(name: str, rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    return name, *(f"{row[name]:,.3g}" if row[name] < 100 else f"{row[name]:,.0f}" for row in rows)


def alone(step: Callable[[Trial], dict[str, float]], trial: Trial) -> dict[str, float]:
    """Run a step in a fresh process, whose memory is then its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(step, trial).result()


def compare(row: Mapping[str, float]) -> dict[str, float]:
    """Return the ratios to the plain search, whose figures were taken in the same minutes."""
    return {
        "question to plain torch, p50": row["question p50 ms"] / row["plain torch p50 ms"],
        "question to plain torch, cpu": row["question cpu ms"] / row["plain torch cpu ms"],
        f"{CALLERS} callers to plain torch, one caller": row[f"questions/s, {CALLERS} callers"]
        / row["plain torch questions/s"],
    }


def fill(trial: Trial) -> dict[str, float]:
    """Store all passages as an ingest does, without embedding them."""
    spent, used = 0.0, 0.0
    with open_library(trial.load()) as library:
        library.ingestor.ingest([_item("first", 0)])  # the library is of this embedder from here on
        for batch in _batches(trial):
            begun, begun_cpu = time.perf_counter(), time.process_time()
            library.ledger.put(batch)
            catch_up(library.ledger, library.vectors)
            spent += time.perf_counter() - begun
            used += time.process_time() - begun_cpu
        begun = time.perf_counter()
    disk = sum(file.stat().st_size for file in trial.folder.rglob("*") if file.is_file())
    return {
        "stored passages/s": trial.passages / spent,
        "stored cpu ms/passage": used / trial.passages * 1000,
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
        vectors = _vectors(np.random.default_rng(1), _draw(np.random.default_rng(2), ASKED), trial.dimensions)
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
        entries = next(_batches(trial))[1:]
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
    """What the configured embedder adds to a question."""
    settings = load_stack(trial.stack).settings
    embedder = load("models.embedder", settings.models.embedder, context_of(settings), expected=Embeddings)
    queries = _queries(ASKED, trial.passages)
    dimensions = len(embed_query(embedder, queries[0]))
    return {"dimensions": dimensions, **_time("embedding a question", lambda at: embed_query(embedder, queries[at]))}


def take_in(trial: Trial) -> dict[str, float]:
    """Ingest documents into the full library, and embed their passages again by themselves."""
    with open_library(trial.load()) as library:
        rates, ratios = [], []
        for turn in range(ROUNDS + 1):
            items = [_item(f"turn-{turn}-{at}", turn * INGESTED + at) for at in range(INGESTED)]
            begun = time.perf_counter()
            report = library.ingestor.ingest(items)
            spent = time.perf_counter() - begun
            entries = [library.ledger.entry(item.source.document_id) for item in items]
            texts = [chunk.indexed_text for entry in entries if entry for chunk in entry.chunks]
            if report.added != INGESTED:
                raise InvalidRequest(
                    f"Of {INGESTED} new documents {report.added} were added. Measure with an empty folder."
                )
            begun = time.perf_counter()
            embed_texts(library.embedder, texts)
            alone = time.perf_counter() - begun
            rates.append(len(texts) / spent)
            ratios.append(alone / spent)
    # the first turn warms both
    return {
        "ingest passages/s": float(np.median(rates[1:])),
        "ingest to the embedder alone": float(np.median(ratios[1:])),
    }


def search_plainly(trial: Trial) -> dict[str, float]:
    """The plain search: the same weights on torch, the product with all vectors, and the best of them."""
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(weights.MINILM.verify().parent), device="cpu", local_files_only=True)
    dimensions = len(model.encode("one"))
    rows = torch.empty((trial.passages, dimensions))
    at = 0
    for batch in _batches(replace(trial, dimensions=dimensions)):
        for entry in batch:
            rows[at : at + len(entry.vectors)] = torch.from_numpy(entry.vectors)
            at += len(entry.vectors)
    queries = _queries(ASKED, trial.passages)

    def ask_plainly(number: int) -> object:
        vector = model.encode(
            queries[number], convert_to_tensor=True, normalize_embeddings=True, show_progress_bar=False
        )
        return torch.topk(rows @ vector, min(DEPTH, trial.passages))

    for number in range(10):
        ask_plainly(number)
    times = _time("plain torch", ask_plainly)
    begun = time.perf_counter()
    for number in range(ASKED):
        ask_plainly(number)
    rate = ASKED / (time.perf_counter() - begun)
    return {**times, "plain torch questions/s": rate, "plain torch peak memory MB": peak_rss_mb()}


def search_words(trial: Trial) -> dict[str, float]:
    """Tantivy alone, with its own settings: the same passages and questions, no tenants, nothing read of what is found."""
    import tantivy

    fields = tantivy.SchemaBuilder()
    fields.add_text_field("words", stored=False)
    with tempfile.TemporaryDirectory(prefix="words-", dir=trial.folder) as folder:
        index = tantivy.Index(fields.build(), path=folder)
        writer = index.writer(heap_size=200_000_000, num_threads=1)
        for batch in _batches(trial):
            for entry in batch:
                for chunk in entry.chunks:
                    writer.add_document(tantivy.Document(words=[chunk.text]))
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
        searcher, queries = index.searcher(), _queries(ASKED, trial.passages)

        def ask_words(number: int) -> object:
            return searcher.search(index.parse_query(queries[number], ["words"]), DEPTH, count=False)

        ask_words(0)
        return _time("tantivy alone", ask_words)


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


def _item(name: str, seed: int) -> Item:
    """Return a new document of ten paragraphs."""
    drawn = _draw(np.random.default_rng([seed, 11]), _OF_A_DOCUMENT)
    text = "\n\n".join(f"{name} " + " ".join(f"word{each}" for each in row) for row in drawn)
    return Item(Source(f"{name}.txt", "big", media_type="text/plain"), text.encode(), f"{name}.txt")


def _batches(trial: Trial) -> Iterator[list[Entry]]:
    chance = np.random.default_rng(7)
    for start in range(0, trial.passages, _TOGETHER * _OF_A_DOCUMENT):
        count = min(_TOGETHER * _OF_A_DOCUMENT, trial.passages - start)
        drawn = _draw(chance, count)
        vectors = _vectors(chance, drawn, trial.dimensions)
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


def _vectors(chance: np.random.Generator, drawn: Any, dimensions: int) -> Vectors:
    of_words = np.random.default_rng(3).standard_normal((997, dimensions)).astype(np.float32)
    rows = of_words[drawn[:, :12] % 997].sum(axis=1) + chance.standard_normal((len(drawn), dimensions))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def _queries(count: int, seed: int) -> list[str]:
    """Three words, of which two are common."""
    chance = np.random.default_rng(seed)
    common = chance.integers(5, 60, (count, 2))
    rare = chance.integers(2000, 30_000, count)
    return [f"word{one} word{two} word{three}" for (one, two), three in zip(common, rare, strict=True)]

"""Measures the vector index against exact search, among passages that are nearly alike, and what a query costs there.

Near-duplicates are what an approximate index fails on: versions of one document, the same clause in a thousand contracts.
Passages are embedded once and copied with noise, each family one after the other, which is the hardest order for a graph.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from extensions.datasets.reading import SCOPE, TENANT, Progress
from foundation.machine.process import peak_rss_mb
from foundation.types import Scope
from models.contract import Embeddings
from models.embedding import embed
from retrieval.contract import DocumentLedger, VectorIndex
from retrieval.documents import Chunk, Entry, Parsed, Source, Vectors
from retrieval.index.maintenance import catch_up

FAMILIES = 1_000
"""Passages that are embedded; the others are copies of them."""
LIKENESS = 0.85
"""Cosine of a copy to what it was copied from."""
ASKED = 200
DEPTH = 10
_SENTENCES = 3
_OF_A_DOCUMENT = 10
_TOGETHER = 500
"""Passages stored in one transaction."""
_SAME = 1e-6


@dataclass(frozen=True, slots=True)
class Copies:
    """A corpus of near-duplicates, and queries beside it."""

    texts: Sequence[str]
    """Of the families."""
    family: Sequence[int]
    """Of each passage."""
    vectors: Vectors
    queries: Vectors
    words: Sequence[str]
    """Queries as people type them."""


def copies(sentences: Sequence[str], embedder: Embeddings, *, chunks: int, seed: int) -> Copies:
    dice, noise = random.Random(seed), np.random.default_rng(seed)
    families = min(FAMILIES, chunks)
    texts = [" ".join(dice.choices(sentences, k=_SENTENCES)) for _ in range(families)]
    base = embed(embedder, texts)
    family = [place * families // chunks for place in range(chunks)]
    asked = [dice.randrange(families) for _ in range(ASKED)]
    words = [" ".join(dice.sample(texts[one].split(), k=min(8, len(texts[one].split())))) for one in asked]
    return Copies(texts, family, _beside(base[family], noise), _beside(base[asked], noise), words)


def _beside(vectors: Vectors, noise: np.random.Generator) -> Vectors:
    """Unit vectors at a cosine of about `LIKENESS` to the given ones."""
    away = noise.standard_normal(vectors.shape).astype(np.float32)
    away -= np.sum(away * vectors, axis=1, keepdims=True) * vectors
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    return np.asarray(LIKENESS * vectors + np.sqrt(1 - LIKENESS**2) * away, dtype=np.float32)


def entries(corpus: Copies, *, seed: int) -> Iterator[Entry]:
    """Documents of ten passages, each passage its family's text with one word in eight replaced."""
    dice = random.Random(seed)
    for start in range(0, len(corpus.family), _OF_A_DOCUMENT):
        places = range(start, min(start + _OF_A_DOCUMENT, len(corpus.family)))
        source = Source(f"{start // _OF_A_DOCUMENT:06}.txt", TENANT, media_type="text/plain")
        text, chunks = "", []
        for position, place in enumerate(places):
            passage = " ".join(
                f"n{dice.randrange(10**6)}" if dice.random() < 1 / 8 else word
                for word in corpus.texts[corpus.family[place]].split()
            )
            begin = len(text)
            text += f"{passage}\n"
            chunks.append(Chunk(f"{place:08}", source.document_id, position, passage, begin, begin + len(passage)))
        yield Entry(source, str(start), Parsed(text, ()), chunks, corpus.vectors[places.start : places.stop])


def fill(corpus: Copies, ledger: DocumentLedger, vectors: VectorIndex, *, seed: int, progress: Progress) -> float:
    """Store everything as an ingest does, without embedding it. Seconds that the index took."""
    taken, batch, done = 0.0, list[Entry](), 0
    for entry in entries(corpus, seed=seed):
        batch.append(entry)
        done += len(entry.chunks)
        if sum(len(one.chunks) for one in batch) >= _TOGETHER or done == len(corpus.family):
            ledger.put(batch)
            begun = time.perf_counter()
            catch_up(ledger, vectors)
            taken += time.perf_counter() - begun
            batch = []
            progress("fill the index", done, len(corpus.family))
    return taken


def recall(corpus: Copies, vectors: VectorIndex, scope: Scope = SCOPE) -> dict[str, Any]:
    """Of the ten nearest by exact search, the share that the index finds; one as near as the tenth counts as found."""
    found, times_ms, exact_ms = [], [], []
    for query in corpus.queries:
        begun = time.perf_counter()
        cosines = corpus.vectors @ query
        tenth = np.partition(cosines, -DEPTH)[-DEPTH] if len(cosines) > DEPTH else cosines.min()
        exact_ms.append((time.perf_counter() - begun) * 1000)
        begun = time.perf_counter()
        hits = vectors.search(query, scope, limit=DEPTH)
        times_ms.append((time.perf_counter() - begun) * 1000)
        near = sum(cosines[int(chunk_id)] >= tenth - _SAME for chunk_id, _ in hits)
        found.append(min(near, DEPTH) / min(DEPTH, len(cosines)))
    return {
        "recall_at_10": float(np.mean(found)),
        "worst_recall_at_10": float(np.min(found)),
        "queries": len(found),
        "search_p50_ms": float(np.percentile(times_ms, 50)),
        "search_p95_ms": float(np.percentile(times_ms, 95)),
        "exact_p50_ms": float(np.percentile(exact_ms, 50)),
        "exact_p95_ms": float(np.percentile(exact_ms, 95)),
        "peak_rss_mb": peak_rss_mb(),
    }

"""`sixply bench-encoder`: the default encoder against torch, and the default search against the plainest one there is.

The yardstick is what everybody writes first: sentence-transformers on torch, then the products with all vectors. All sides
take turns in one run, because on another day the machine is another one; so the ratios count, not the figures.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from extensions.datasets import reading
from foundation import components
from foundation.components import Context
from foundation.errors import InvalidRequest
from foundation.settings import Part
from lab.bench import public_data
from lab.library import open_library
from models import weights
from models.embedding import Vectors, embed, embed_query
from observability.evaluation import questions
from retrieval.settings import RankingSettings
from serving.cli import terminal

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

    from serving.settings import Loaded

Configure = Callable[[dict[str, object]], "Loaded"]
TORCH, OURS = "torch", "openvino_int8"
SIDES: Mapping[str, dict[str, Any]] = {
    TORCH: {"use": "sentence_transformers"},
    "openvino_float32": {"use": "openvino", "precision": "float32"},
    OURS: {"use": "openvino", "precision": "int8"},
}
AT_ONCE = 4
WARM = 16
"""Queries of a side that are not counted after those of the other, which have taken the processor's caches."""
SERVED = RankingSettings().top_k
"""Documents that a caller of either search gets."""

PLAIN_START = """
import sys
import numpy as np
from sentence_transformers import SentenceTransformer
folder, vectors, question = sys.argv[1:]
query = SentenceTransformer(folder, device="cpu", local_files_only=True).encode([question], normalize_embeddings=True)[0]
print(int(np.argmax(np.load(vectors) @ query)), flush=True)
"""
OUR_START = """
import json, sys
from pathlib import Path
from foundation.machine import process
process.keep_what_is_imported()
from serving.settings import load
from foundation.types import Scope
from lab.library import open_library
stack, changes, tenant, question = sys.argv[1:]
with open_library(load(Path(stack), overrides=json.loads(changes))) as library:
    print(library.retriever.retrieve(question, Scope(tenant), limit=1)[0].source.uri, flush=True)
"""


class Plain:
    """The plainest search: one matrix, and its product with the question's vector."""

    def __init__(self, embedder: Embeddings, documents: Sequence[str], vectors: Vectors) -> None:
        self._embedder, self._documents, self.vectors = embedder, documents, vectors

    def rank(self, query: str) -> list[str]:
        scores = self.vectors @ embed_query(self._embedder, query)
        return [self._documents[place] for place in np.argsort(-scores, kind="stable")[:SERVED]]


def bench_encoder(
    configure: Configure,
    stack: Path,
    data: Sequence[Path],
    *,
    limit: int,
    rounds: int,
    threads: int,
    json: Path | None,
) -> None:
    """Print the figures, or write them as JSON.

    Raises:
        InvalidRequest: a folder is not in BEIR layout, or has no judged query.
    """

    home = configure({}).settings.foundation.data_dir
    home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened, terminal.progress() as progress:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=home)))
        context = Context(data_dir=folder, threads=threads)
        embedders: dict[str, Embeddings] = {
            name: components.load("models.embedder", Part.model_validate(part | {"threads": threads}), context)
            for name, part in SIDES.items()
        }
        quality, plain = {}, None
        for number, each in enumerate(data):
            progress("encode whole corpora", number, len(data))
            quality[each.name], searches = _quality(each, embedders)
            plain = plain or searches[TORCH]
        progress("encode whole corpora", len(data), len(data))
        if plain is None:
            raise InvalidRequest("No folder to measure on. Name one in BEIR layout: DATA=folder.")
        texts = [one.text for one in questions.evenly(list(reading.read_corpus(data[0])), limit)]
        speed = throughput(embedders, texts, rounds=rounds)
        # Each query is computed on one thread, as torch's with THREADS=1, and as many of them at once as the system does.
        changes: dict[str, object] = {"foundation": {"data_dir": str(folder)}, "models": {"embedder": SIDES[OURS]}}
        queries = list(reading.read_queries(data[0]).values())[:limit]
        with open_library(configure(changes)) as library:
            progress("ingest", 0, 1)
            library.ingestor.ingest(reading.items_of(reading.read_corpus(data[0])))
            progress("ingest", 1, 1)
            asked = {
                TORCH: plain.rank,
                OURS: lambda query: library.retriever.retrieve(query, reading.SCOPE, limit=SERVED),
            }
            found = latency(asked, queries, rounds=rounds)
        np.save(folder / "vectors.npy", plain.vectors)
        found |= _cold(stack, changes, folder / "vectors.npy", queries[0], rounds=rounds)
    losses = {name: float(np.mean([scores[TORCH] - scores[name] for scores in quality.values()])) for name in SIDES}
    figures = {
        "threads": threads, "rounds": rounds, "documents": len(texts), "queries": len(queries),
        "served": SERVED, "load_average": os.getloadavg()[0],
        "data": [each.name for each in data], "ndcg_at_10": quality, "mean_ndcg_loss": losses, **speed, **found,
    }  # fmt: skip
    if not terminal.write_json(json, figures):
        terminal.show_table(["figure", ""], [(name, _told(value)) for name, value in figures.items()])


def throughput(embedders: Mapping[str, Embeddings], texts: list[str], *, rounds: int) -> dict[str, Any]:
    """Documents a second of each side: median, lowest and highest of the rounds, and the median ratio to torch's."""
    for embedder in embedders.values():
        embed(embedder, texts[:8])  # what is built at the first use is no speed
    rows: dict[str, list[float]] = {name: [] for name in embedders}
    for turn in range(rounds):
        for name in _in_turns(list(embedders), turn):
            begun = time.perf_counter()
            embed(embedders[name], texts)
            rows[name].append(len(texts) / (time.perf_counter() - begun))
    return {
        "docs_per_s": {name: _spread(values) for name, values in rows.items()},
        "docs_per_s_to_torch": {name: _ratio(values, rows[TORCH]) for name, values in rows.items()},
    }


def latency(asked: Mapping[str, Callable[[str], Any]], queries: Sequence[str], *, rounds: int) -> dict[str, Any]:
    """Milliseconds of a query, one after the other, and queries a second of four threads; the ratios are ours to torch's."""
    for ask in asked.values():
        for query in queries:
            ask(query)  # an engine's first use of a length, a store's first read of a page
    alone: dict[str, list[float]] = {name: [] for name in asked}
    together: dict[str, list[float]] = {name: [] for name in asked}
    with _as_a_server(), ThreadPoolExecutor(AT_ONCE) as pool:
        for turn in range(rounds):
            for name in _in_turns(list(asked), turn):
                for query in queries[:WARM]:
                    asked[name](query)
                alone[name].append(median(_ms(asked[name], query) for query in queries))
        for turn in range(rounds):
            for name in _in_turns(list(asked), turn):
                begun = time.perf_counter()
                list(pool.map(asked[name], queries))
                together[name].append(len(queries) / (time.perf_counter() - begun))
    return {
        "query_p50_ms": {name: _spread(values) for name, values in alone.items()},
        "query_p50_to_torch": _ratio(alone[OURS], alone[TORCH]),
        "queries_per_s_4_threads": {name: _spread(values) for name, values in together.items()},
        "queries_per_s_4_threads_to_torch": _ratio(together[OURS], together[TORCH]),
    }


@contextmanager
def _as_a_server() -> Iterator[None]:
    """Nobody looks for garbage among what is there for good: as in `serving.server`, for both sides."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _quality(data: Path, embedders: Mapping[str, Embeddings]) -> tuple[dict[str, float], dict[str, Plain]]:
    """nDCG@10 of exact search with each side's vectors, and the searches."""
    corpus = [one for one in reading.read_corpus(data) if one.text.strip()]
    queries, judged = reading.read_queries(data), reading.read_qrels(data)
    asked = {key: queries[key] for key in judged if key in queries}
    if not asked:
        raise InvalidRequest(f"{data} has no query with a judgement. Name another folder in BEIR layout.")
    texts, names = [f"{one.title}\n{one.text}".strip() for one in corpus], [one.document_id for one in corpus]
    searches = {name: Plain(embedder, names, embed(embedder, texts)) for name, embedder in embedders.items()}
    scores = {
        name: public_data.ranking_scores(judged, {key: search.rank(text) for key, text in asked.items()})[0][
            "ndcg_at_10"
        ]
        for name, search in searches.items()
    }
    return scores, searches


def _cold(stack: Path, changes: Mapping[str, object], vectors: Path, question: str, *, rounds: int) -> dict[str, Any]:
    """Seconds from the start of a process to its first hit."""
    import json as jsons

    commands = {
        TORCH: [PLAIN_START, str(weights.MINILM.verify().parent), str(vectors), question],
        OURS: [OUR_START, str(stack), jsons.dumps(changes), reading.TENANT, question],
    }
    took: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(rounds):
        for name in _in_turns(list(commands), turn):
            took[name].append(_until_told([sys.executable, "-c", *commands[name]]))
    return {
        "cold_start_s": {name: _spread(values) for name, values in took.items()},
        "cold_start_to_torch": _ratio(took[OURS], took[TORCH]),
    }


def _until_told(command: Sequence[str]) -> float:
    """Seconds until the first line; what the process does to end is not counted."""
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        told = process.stdout.readline()
        took = time.perf_counter() - begun
    if process.returncode or not told:
        raise subprocess.CalledProcessError(process.returncode, command)
    return took


def _in_turns(names: list[str], turn: int) -> list[str]:
    return names if turn % 2 else names[::-1]


def _ms(ask: Callable[[str], Any], query: str) -> float:
    begun = time.perf_counter()
    ask(query)
    return (time.perf_counter() - begun) * 1000


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": median(values), "low": min(values), "high": max(values)}


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' ratios: what slows a round down slows both."""
    return median(one / other for one, other in zip(ours, theirs, strict=True))


def _told(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_told(each)}" for name, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

"""The retrieval half of a system by itself, for measuring it: no chat model, no agent, no tracing.

Joined as in `serving/wiring.py`, whose order this follows; the part that a measurement watches is wrapped on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings

from foundation import components
from foundation.components import Context
from foundation.settings import made_data_dir
from models.contract import RerankerParts
from models.reranking import chosen_reranker
from retrieval.contract import Chunker, DocumentLedger, Parsed, ParseLimits, VectorIndex
from retrieval.index.maintenance import SameParts, fingerprint_of, open_index
from retrieval.ingest.pipeline import Ingestor
from retrieval.ingest.ray_workers import RayWorkers
from retrieval.ingest.sandbox import parse_here
from retrieval.search.hybrid import HybridRetriever

if TYPE_CHECKING:
    from foundation.settings import Loaded, Part


@dataclass(frozen=True, kw_only=True)
class Library:
    """What is open, by the name of its port."""

    context: Context
    embedder: Embeddings
    chunker: Chunker
    ledger: DocumentLedger
    vectors: VectorIndex
    ingestor: Ingestor
    retriever: HybridRetriever


@contextmanager
def open_library(loaded: Loaded, *, watched: Callable[[Any], Any] = lambda embedder: embedder) -> Iterator[Library]:
    """`watched` wraps the embedder. Documents are parsed in this process: they must be our own.

    Raises:
        As `wiring.open_system`, of the same parts.
    """
    settings = loaded.settings
    context = Context(
        data_dir=made_data_dir(settings), seed=settings.foundation.seed, threads=settings.foundation.threads
    )
    with ExitStack() as opened:

        def part(section: str, chosen: Part, expected: type | None = None, known: Any = context) -> Any:
            built = components.load(section, chosen, known, expected=expected)
            if hasattr(built, "close"):
                opened.callback(built.close)
            return built

        embedder = watched(part("models.embedder", settings.models.embedder, Embeddings))
        to_rerank = RerankerParts(**vars(context), embedder=embedder)
        reranker = chosen_reranker(part("models.reranker", settings.models.reranker, known=to_rerank))
        ledger = part("retrieval.ledger", settings.retrieval.ledger, DocumentLedger)
        vectors = part("retrieval.vectors", settings.retrieval.vectors, VectorIndex)
        chunker = part("retrieval.chunker", settings.retrieval.chunker, Chunker)
        fingerprint = fingerprint_of(settings.models.embedder.use, embedder, chunker)
        open_index(ledger, vectors, fingerprint)
        same_parts = SameParts(ledger, fingerprint)
        workers = None
        if settings.foundation.cluster.use == "ray":
            workers = RayWorkers(settings, fingerprint)
            opened.callback(workers.close)
        yield Library(
            context=context,
            embedder=embedder,
            chunker=chunker,
            ledger=ledger,
            vectors=vectors,
            ingestor=Ingestor(
                ledger=ledger,
                vectors=vectors,
                embedder=embedder,
                chunker=chunker,
                parse=own_parse,
                clock=context.clock,
                same_parts=same_parts,
                workers=workers,
            ),
            retriever=HybridRetriever(
                ledger=ledger,
                vectors=vectors,
                embedder=embedder,
                reranker=reranker,
                ranking=settings.retrieval.ranking,
                clock=context.clock,
                same_parts=same_parts,
            ),
        )


def own_parse(content: bytes, name: str) -> Parsed:
    """In this process: for documents of our own."""
    return parse_here(content, name, ParseLimits())

"""Open layer 3: ledger, index, ingest and search."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings

from foundation.components import Assembly, Context
from models.contract import EntailmentJudge, Reranker
from retrieval.contract import Chunker, DocumentLedger, Rewording, RightsCheck, VectorIndex
from retrieval.documents import Fingerprint, Parsed
from retrieval.grounding.evidence import Grounding
from retrieval.index.maintenance import SameParts, fingerprint_of, open_index
from retrieval.ingest.parsing import find_newer_parser, limits_of
from retrieval.ingest.pipeline import Ingestor
from retrieval.ingest.refused_files import KEPT_MB, RefusedFiles
from retrieval.ingest.sandbox import ParserPool
from retrieval.search.hybrid import HybridRetriever
from retrieval.settings import RetrievalSettings

Parse = Callable[[bytes, str], Parsed]


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """The open parts of layer 3."""

    context: Context
    embedder: Embeddings
    chunker: Chunker
    ledger: DocumentLedger
    vectors: VectorIndex
    ingestor: Ingestor
    retriever: HybridRetriever
    grounding: Grounding


def open_retrieval(
    settings: RetrievalSettings,
    assembly: Assembly,
    *,
    embedder: Embeddings,
    query_embedder: Embeddings,
    encoder_part: str,
    reranker: Reranker | None,
    judge: EntailmentJudge,
    parse: Parse | None = None,
    workers: Callable[[Fingerprint], Any] = lambda _: None,
    refused: Path | None = None,
    rewordings: Sequence[Rewording] = (),
    rights: Sequence[RightsCheck] = (),
) -> Retrieval:
    """Open every part of layer 3, and check that the index belongs to this ledger and these parts.

    `embedder` is for documents, `query_embedder` for questions; `encoder_part` is its name in stack.toml. `parse`
    defaults to a child process with limits; `workers` prepare documents elsewhere; `refused` is a folder of files to be
    tried again. Raises ConfigurationError: a part cannot be built, another process owns the store, or the parts differ.
    """
    chunker = assembly.part("retrieval.chunker", settings.chunker, Chunker)
    fingerprint = fingerprint_of(encoder_part, embedder, chunker)
    ledger = assembly.part("retrieval.ledger", settings.ledger, DocumentLedger)
    vectors = assembly.part("retrieval.vectors", settings.vectors, VectorIndex)
    open_index(ledger, vectors, fingerprint)
    same_parts = SameParts(ledger, fingerprint, vectors)
    helpers, limits = assembly.keep(workers(fingerprint)), limits_of(assembly.context)
    ingestor = Ingestor(
        ledger=ledger,
        vectors=vectors,
        embedder=embedder,
        chunker=chunker,
        parse=parse or assembly.keep(ParserPool(settings.parsing, limits)).parse,
        find_newer=partial(find_newer_parser, limits=limits),
        clock=assembly.context.clock,
        keep_replaced=settings.keep_replaced,
        refused=RefusedFiles(refused, max_mb=KEPT_MB) if refused else None,
        same_parts=same_parts,
        workers=helpers and helpers.prepare,
    )
    return Retrieval(
        context=assembly.context,
        embedder=embedder,
        chunker=chunker,
        ledger=ledger,
        vectors=vectors,
        ingestor=assembly.keep(ingestor),
        retriever=HybridRetriever(
            ledger=ledger,
            vectors=vectors,
            embedder=query_embedder,
            reranker=reranker,
            ranking=settings.ranking,
            clock=assembly.context.clock,
            multilingual=settings.multilingual,
            same_parts=same_parts,
            rewordings=rewordings,
            rights=rights,
        ),
        grounding=Grounding(
            query_embedder, judge, settings.grounding, multilingual=settings.multilingual, rewordings=rewordings
        ),
    )

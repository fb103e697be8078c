"""What tells one embedder from another of the same name and dimension: the vectors of fixed texts."""

from __future__ import annotations

from langchain_core.embeddings import Embeddings

from models.embedding import embed

PROBE_TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "A refund is paid within fourteen days of the return.",
    "Fehlercode 42: Druckkopf überhitzt",
)
"""Changing one makes every stored fingerprint differ."""


def probe(embedder: Embeddings) -> tuple[tuple[float, ...], ...]:
    """Unit vectors of the probe texts, as plain numbers that a database can keep. Raises as `embed` does."""
    return tuple(tuple(float(value) for value in vector) for vector in embed(embedder, PROBE_TEXTS))

"""What most systems do, to compare with in the same run: whole documents, BM25 and one vector each, fused by ranks."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import numpy as np

from foundation.text.tokens import searchable, telling_words
from models.contract import Embeddings
from models.embedding import embed, embed_query
from retrieval.search.rank_fusion import reciprocal_rank_fusion

DEPTH = 100
"""Documents that each of the two rankings gives to the fusion."""


class RawFusion:
    """BM25 with Porter stems and without function words, and the cosine of one vector a document, whatever its length:
    100 + 100 by reciprocal ranks. No passages, no scopes, no versions, no ledger.
    """

    def __init__(self, texts: Mapping[str, str], embedder: Embeddings) -> None:
        """`texts` has each document by its id, title first. Raises ComponentError: the embedder failed."""
        self._ids = list(texts)
        self._embedder = embedder
        self._vectors = embed(embedder, list(texts.values()))
        self._keywords = sqlite3.connect(":memory:")
        self._keywords.execute("CREATE VIRTUAL TABLE search USING fts5 (text, tokenize='porter unicode61')")
        rows = enumerate(map(searchable, texts.values()))
        self._keywords.executemany("INSERT INTO search (rowid, text) VALUES (?, ?)", rows)

    def rank(self, query: str) -> list[str]:
        """Ids of the documents, best first, at most 100. Raises ComponentError: the embedder failed."""
        similarities = self._vectors @ embed_query(self._embedder, query)
        nearest = [self._ids[at] for at in np.argsort(-similarities, kind="stable")[:DEPTH]]
        fused = reciprocal_rank_fusion({"keyword": self._by_words(query), "vector": nearest})
        return [name for name, _ in fused[:DEPTH]]

    def _by_words(self, query: str) -> list[str]:
        expression = " OR ".join(f'"{word}"' for word in telling_words(query))
        if not expression:
            return []
        sql = "SELECT rowid FROM search WHERE search MATCH ? ORDER BY bm25(search), rowid LIMIT ?"
        return [self._ids[row] for (row,) in self._keywords.execute(sql, (expression, DEPTH))]

    def close(self) -> None:
        self._keywords.close()

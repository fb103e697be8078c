"""LangChain document compressors as they are met in the field: with scores, without, and one that loses what it was given.

LangChain's own are in packages that need a vendor's key or a model hub, so these are of our own; the base class is theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.documents import BaseDocumentCompressor, Document


class Scored(BaseDocumentCompressor):
    """Counts shared words, as `relevance_score`; keeps the best `top_n`, on copies."""

    top_n: int = 3
    model: str = "scored"

    def compress_documents(self, documents: Sequence[Document], query: str, callbacks: Any = None) -> list[Document]:
        words = set(query.split())
        found = [
            Document(
                page_content=each.page_content,
                metadata={**each.metadata, "relevance_score": len(words & set(each.page_content.split())) / 10},
            )
            for each in documents
        ]
        return sorted(found, key=lambda each: -each.metadata["relevance_score"])[: self.top_n]


class Ordered(Scored):
    """The same order, told by nothing but the order; and extracts, as a language model makes them."""

    def compress_documents(self, documents: Sequence[Document], query: str, callbacks: Any = None) -> list[Document]:
        kept = super().compress_documents(documents, query)
        return [
            Document(
                page_content=each.page_content[:10],
                metadata={k: v for k, v in each.metadata.items() if k != "relevance_score"},
            )
            for each in kept
        ]


class Forgetful(Scored):
    """Returns documents without their metadata."""

    def compress_documents(self, documents: Sequence[Document], query: str, callbacks: Any = None) -> list[Document]:
        return [Document(page_content=each.page_content) for each in documents]

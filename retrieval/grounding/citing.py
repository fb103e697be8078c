"""Evidence, and citations of it."""

from dataclasses import dataclass

from retrieval.documents import Citation, Hit


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sentence of a hit; one that ends with a colon includes what it introduces. `text == document
    text[start:end]`; `score` from 0 to 1 compares across questions.
    """

    hit: Hit
    start: int
    end: int
    text: str
    score: float
    similarity: float = 0.0
    """Cosine of the question and the sentence with its heading."""
    coverage: float = 0.0
    """Share of the question's terms, weighted by rarity, in the sentence, the one before it and the heading."""
    matched: tuple[float, ...] = ()
    """Match with each part of the question, weighted so that the sum is at most 1. Parts are tokens where the
    embedder gives a vector per token, else terms; both for a question in other than Latin letters."""


def cite_span(hit: Hit, marker: int, start: int, quote: str) -> Citation:
    """Return the citation of `quote`, which begins at character `start` of the document."""
    return Citation(
        marker=marker,
        document_id=hit.chunk.document_id,
        chunk_id=hit.chunk.chunk_id,
        uri=hit.source.uri,
        title=title_of(hit),
        start=start,
        end=start + len(quote),
        quote=quote,
        page=hit.chunk.page_at(start),
        rights_at=hit.rights_at,
    )


def headings_of(hit: Hit) -> str:
    """Return the headings and the title over a hit, which may name its subject."""
    return " ".join([*hit.chunk.heading_path, hit.source.title or ""])


def title_of(hit: Hit) -> str:
    """Return the title of a hit's document: its title, else its first heading, else its uri."""
    return hit.source.title or (hit.chunk.heading_path[0] if hit.chunk.heading_path else hit.source.uri)

"""Citations of passages, and the claims of an answer that cite them."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from retrieval.documents import Citation, Hit

_LINE = re.compile(r"(?<![^\n])[^\S\n]*+\S[^\n]*")
_MARKER = re.compile(r"\[(\d{1,3})\]")


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


@dataclass(frozen=True, slots=True)
class Anchor:
    """The span that supports a claim: `text[start:end]` of the passage with this number."""

    passage: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence, list item or table row of an answer that states something: `answer[start:end]`, with its markers."""

    start: int
    end: int
    text: str
    """The claim without markers and Markdown signs."""
    cited: tuple[int, ...]
    """Numbers of the existing passages that it cites."""
    anchors: tuple[Anchor, ...] = ()
    finding: str = ""
    """`figure`, `name`, `denied`, `unsupported` or `unknown_marker`; empty: the claim holds."""
    detail: str = ""
    """An explanation for the writer, to repair the claim."""


def read_citations(answer: str, shown: Collection[int]) -> list[Claim]:
    """Return each line as a claim, unchecked but for `unknown_marker`: it cites a passage that is not `shown`."""
    claims = []
    for line in _LINE.finditer(answer):
        numbers = dict.fromkeys(map(int, _MARKER.findall(line.group())))
        cited = tuple(number for number in numbers if number in shown)
        unknown = next((number for number in numbers if number not in shown), None)
        detail = (
            "" if unknown is None else f"cites [{unknown}]; the passages are {', '.join(map(str, shown)) or 'none'}"
        )
        claims.append(Claim(*line.span(), line.group(), cited, (), "unknown_marker" if detail else "", detail))
    return claims


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
    )


def title_of(hit: Hit) -> str:
    """Return the title of a hit's document: its title, else its first heading, else its uri."""
    return hit.source.title or (hit.chunk.heading_path[0] if hit.chunk.heading_path else hit.source.uri)

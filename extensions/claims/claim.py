"""A claim of an answer, and the spans that support it."""

from dataclasses import dataclass


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

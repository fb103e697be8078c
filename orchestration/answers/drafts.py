"""A draft of an answer: sentences, and the passages that each of them cites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from retrieval.grounding.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence without markers, and the places in the evidence (from 0) that it refers to."""

    text: str
    cited: tuple[int, ...]
    part: Evidence | None = None
    """What it quotes, where that is not the whole of the evidence that it refers to."""


@dataclass(frozen=True, slots=True)
class Draft:
    path: Literal["extractive", "generative"]
    sentences: tuple[Sentence, ...]
    whole: bool = True
    """`False` where the language model broke off in the middle."""

"""A draft of an answer: sentences, and the passages that each of them cites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from retrieval.grounding.citing import Evidence


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence without markers, and the indices (from 0) of the evidence that it cites."""

    text: str
    cited: tuple[int, ...]
    part: Evidence | None = None
    """The span that it quotes, where that is not exactly the cited evidence."""


@dataclass(frozen=True, slots=True)
class Draft:
    path: Literal["extractive", "generative"]
    sentences: tuple[Sentence, ...]
    whole: bool = True
    """Whether the draft is complete; `False` where the chat model broke off."""

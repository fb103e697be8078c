"""A chunker with windows of equally many words and an overlap, whatever the structure: for transcripts, and as a baseline.

A word is a run of at most 16 letters and digits, a sign, or one character of a script without spaces, so that a window
has a similar number of tokens in every script.
"""

from __future__ import annotations

import re

from pydantic import Field, model_validator

from foundation.components import Context
from foundation.settings import Section
from retrieval.documents import Chunk, Parsed
from retrieval.text.sections import passage, sections

_WORD = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w{1,16}|[^\w\s]")


class Options(Section):
    window_words: int = Field(default=160, ge=10, le=2_000)
    """Words of a window. The default leaves room for headings among the 256 tokens that the bundled embedder reads."""
    overlap_words: int = Field(default=30, ge=0)
    """Words that a window repeats from the one before."""

    @model_validator(mode="after")
    def _moves_on(self) -> Options:
        if self.overlap_words >= self.window_words:
            raise ValueError("overlap_words must be less than window_words")
        return self


class FixedChunker:
    """Cuts a document into windows of words. Deterministic: equal documents get equal passages and ids."""

    def __init__(self, options: Options) -> None:
        self._window, self._step = options.window_words, options.window_words - options.overlap_words
        self.version = f"fixed 1 {options.window_words}/{options.overlap_words}"

    def chunk(self, parsed: Parsed, document_id: str) -> list[Chunk]:
        begins = [((section.heading or section.blocks[0]).start, section.path) for section in sections(parsed)]
        chunks: list[Chunk] = []
        words = [word.span() for word in _WORD.finditer(parsed.text)]
        for first in range(0, max(1, len(words) - self._window + self._step), self._step):
            if window := words[first : first + self._window]:
                start, end = window[0][0], window[-1][1]
                path = next((path for begin, path in reversed(begins) if begin <= start), ())
                chunks.append(passage(parsed, document_id, len(chunks), path, (start, end)))
        return chunks


def build(options: Options, context: Context) -> FixedChunker:  # noqa: ARG001 - the signature of every adapter
    return FixedChunker(options)

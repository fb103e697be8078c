"""The default chunker: a heading opens a section, and a section is cut into passages of even length.

Even lengths leave no meaningless rest. The defaults suit embedders that read 256 tokens, headings included.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from pydantic import Field, model_validator

from foundation.components import Context
from foundation.settings import Section
from foundation.text.sentences import sentence_spans
from retrieval.documents import Block, Chunk, Parsed
from retrieval.text.sections import passage, sections

# Factor by which a table row may exceed the target before it is cut like prose
_ROW_ALLOWANCE = 1.5


class Options(Section):
    target_characters: int = Field(default=900, ge=100, le=20_000)
    """Most characters of a passage; a table row may be a little longer."""
    min_characters: int = Field(default=200, ge=0)
    """Characters below which a last passage joins the one before it."""
    overlap_sentences: int = Field(default=0, ge=0, le=5)
    """Sentences that a passage repeats from the one before, within a section."""

    @model_validator(mode="after")
    def _check_order(self) -> Options:
        if self.min_characters > self.target_characters:
            raise ValueError("min_characters must not exceed target_characters")
        return self


# The span of a block, or of a part of a long one, which is not cut again
_Piece = tuple[int, int]


class StructureChunker:
    """Cuts a document along its structure. Deterministic: equal documents get equal passages and ids."""

    def __init__(self, options: Options) -> None:
        self._options = options
        sizes = (options.target_characters, options.min_characters, options.overlap_sentences)
        self.version = f"structure 1 {'/'.join(str(size) for size in sizes)}"

    def chunk(self, parsed: Parsed, document_id: str) -> list[Chunk]:
        chunks: list[Chunk] = []
        for section in sections(parsed):
            pieces = [piece for block in section.blocks for piece in self._pieces(block, parsed.text)]
            for group in self._groups(pieces):
                span = group[0][0], group[-1][1]
                chunks.append(passage(parsed, document_id, len(chunks), section.path, span))
        return chunks

    def _pieces(self, block: Block, text: str) -> Iterator[_Piece]:
        allowed = self._options.target_characters * (_ROW_ALLOWANCE if block.kind == "row" else 1)
        if block.end - block.start <= allowed:
            yield block.start, block.end
            return
        for start, end in sentence_spans(text[block.start : block.end]):
            yield from _at_words(text, block.start + start, block.start + end, self._options.target_characters)

    def _groups(self, pieces: Sequence[_Piece]) -> list[list[_Piece]]:
        if not pieces:
            return []
        target = self._options.target_characters
        length = pieces[-1][1] - pieces[0][0]
        goal = length / math.ceil(length / target)
        groups = [[pieces[0]]]
        for piece in pieces[1:]:
            start = groups[-1][0][0]
            without, with_it = groups[-1][-1][1] - start, piece[1] - start
            if with_it > target or abs(goal - without) < abs(with_it - goal):
                groups.append([])
            groups[-1].append(piece)
        end, begin = groups[-1][-1][1], groups[-1][0][0]
        if len(groups) > 1 and end - begin < self._options.min_characters and end - groups[-2][0][0] <= 1.25 * target:
            groups[-2:] = [groups[-2] + groups[-1]]  # embedders would not read a longer one to its end
        count = self._options.overlap_sentences
        if not count:
            return groups
        return [groups[0], *([*before[-count:], *group] for before, group in pairwise(groups))]


def build(options: Options, context: Context) -> StructureChunker:  # noqa: ARG001 - the signature of every adapter
    return StructureChunker(options)


def _at_words(text: str, start: int, end: int, longest: int) -> Iterator[tuple[int, int]]:
    while end - start > longest:
        cut = text.rfind(" ", start + longest // 2, start + longest)
        cut = cut if cut > start else start + longest
        yield start, cut
        start = cut + len(text[cut:end]) - len(text[cut:end].lstrip())
    if start < end:
        yield start, end

"""Chunkers that each break one promise. The suite must reject every one of them, by the check named beside it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

from retrieval.documents import Chunk, Parsed
from retrieval.text.sections import passage, sections


class Sound:
    """Cuts each section at the last space before so many characters."""

    def __init__(self, characters: int) -> None:
        self.characters = characters

    def chunk(self, parsed: Parsed, document_id: str) -> list[Chunk]:
        chunks: list[Chunk] = []
        for section in sections(parsed):
            start, last = section.blocks[0].start, section.blocks[-1].end
            while start < last:
                end = min(last, start + self.characters)
                end = end if end == last else max(parsed.text.rfind(" ", start, end), start + 1)
                if words := parsed.text[start:end].strip():
                    begins = parsed.text.index(words, start)
                    span = begins, begins + len(words)
                    chunks.append(passage(parsed, document_id, len(chunks), section.path, span))
                start = end
        return chunks


class Broken:
    """Cuts rightly, by itself, so that it outlives every adapter; the heirs each spoil one thing."""

    version = "broken 1"

    def __init__(self) -> None:
        self.sound = Sound(900)

    def chunk(self, parsed: Parsed, document_id: str) -> list[Chunk]:
        return self.spoil(self.sound.chunk(parsed, document_id))

    def spoil(self, chunks: list[Chunk]) -> list[Chunk]:
        return chunks


class HasNoVersion(Broken):
    version = " "


class TidiesItsQuotes(Broken):
    def spoil(self, chunks: list[Chunk]) -> list[Chunk]:
        return [replace(chunk, text=chunk.text.replace("\n\n", "\n")) for chunk in chunks]


class LosesTheLastPassage(Broken):
    def spoil(self, chunks: list[Chunk]) -> list[Chunk]:
        return chunks[:-1] or chunks


class CountsFromOne(Broken):
    def spoil(self, chunks: list[Chunk]) -> list[Chunk]:
        return [replace(chunk, position=chunk.position + 1) for chunk in chunks]


class RepeatsItself(Broken):
    def spoil(self, chunks: list[Chunk]) -> list[Chunk]:
        twice = [chunk for chunk in chunks for _ in range(2)]
        return [replace(chunk, position=n, chunk_id=f"{chunk.chunk_id}{n}") for n, chunk in enumerate(twice)]


class NeverCuts(Broken):
    def __init__(self) -> None:
        self.sound = Sound(20_000)


class ForgetsHeadings(Broken):
    def spoil(self, chunks: list[Chunk]) -> list[Chunk]:
        return [replace(chunk, heading_path=()) for chunk in chunks]


class SharesItsIds(Broken):
    def spoil(self, chunks: list[Chunk]) -> list[Chunk]:
        return [replace(chunk, chunk_id=str(chunk.position)) for chunk in chunks]


class RollsDice(Broken):
    counter = itertools.count()

    def spoil(self, chunks: list[Chunk]) -> list[Chunk]:
        return [replace(chunk, chunk_id=f"{chunk.document_id}{next(self.counter)}") for chunk in chunks]


class NumbersItsIds(Broken):
    def spoil(self, chunks: list[Chunk]) -> list[Chunk]:
        return [replace(chunk, chunk_id=f"{chunk.document_id}-{chunk.position}") for chunk in chunks]


class ForgetsPages(Broken):
    def spoil(self, chunks: list[Chunk]) -> list[Chunk]:
        return [replace(chunk, page=None) for chunk in chunks]


class EditsTheDocument(Broken):
    def chunk(self, parsed: Parsed, document_id: str) -> list[Chunk]:
        chunks = super().chunk(parsed, document_id)
        object.__setattr__(parsed, "title", "Seen")
        return chunks


BROKEN: dict[str, Callable[[], Broken]] = {
    "names_its_version": HasNoVersion,
    "text_is_exactly_the_span": TidiesItsQuotes,
    "every_word_is_in_some_passage": LosesTheLastPassage,
    "passages_are_in_order_and_numbered": CountsFromOne,
    "no_passage_lies_inside_another": RepeatsItself,
    "passages_have_a_bounded_length": NeverCuts,
    "heading_paths_come_from_the_document": ForgetsHeadings,
    "ids_are_unique_and_belong_to_the_document": SharesItsIds,
    "the_same_document_gives_the_same_passages": RollsDice,
    "changed_text_gives_another_id": NumbersItsIds,
    "pages_come_from_the_blocks": ForgetsPages,
    "the_document_is_left_as_it_was": EditsTheDocument,
}
"""The check that must catch it -> the broken chunker."""

"""Text parsers that each break one promise. The suite must reject every one of them, by the check named beside it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

from foundation.errors import DocumentRefused
from retrieval.documents import Block, Parsed, ParseLimits
from retrieval.ingest.parsing import parse_here


class Broken:
    """Parses rightly; the heirs each spoil one thing."""

    suffixes: tuple[str, ...] = (".txt",)
    version = "broken 1"

    def __init__(self, limits: ParseLimits) -> None:
        self.limits = limits

    def parse(self, content: bytes, name: str) -> Parsed:
        return self.spoil(parse_here(content, name, self.limits))

    def spoil(self, parsed: Parsed) -> Parsed:
        return parsed


class ShoutsItsSuffixes(Broken):
    suffixes = ("TXT",)


class LosesItsLastParagraph(Broken):
    def spoil(self, parsed: Parsed) -> Parsed:
        last = parsed.blocks[-1]
        return replace(parsed, text=parsed.text[: last.start].rstrip(), blocks=parsed.blocks[:-1])


class PointsBesideTheText(Broken):
    def spoil(self, parsed: Parsed) -> Parsed:
        return replace(parsed, blocks=tuple(replace(b, start=b.start + 9, end=b.end + 9) for b in parsed.blocks))


class OverlapsItsBlocks(Broken):
    def spoil(self, parsed: Parsed) -> Parsed:
        return replace(parsed, blocks=tuple(b for block in parsed.blocks for b in (block, block)))


class LeavesTextOutsideOfBlocks(Broken):
    def spoil(self, parsed: Parsed) -> Parsed:
        return replace(parsed, blocks=parsed.blocks[:-1])


class InventsKinds(Broken):
    def spoil(self, parsed: Parsed) -> Parsed:
        return replace(parsed, blocks=tuple(replace(block, kind="blob") for block in parsed.blocks))


class CountsPagesFromZero(Broken):
    def spoil(self, parsed: Parsed) -> Parsed:
        return replace(parsed, pages=1, blocks=tuple(replace(block, page=0) for block in parsed.blocks))


class MakesOneBlockOfAll(Broken):
    def spoil(self, parsed: Parsed) -> Parsed:
        return replace(parsed, blocks=(Block("paragraph", 0, len(parsed.text)),))


class LetsControlCharactersThrough(Broken):
    def spoil(self, parsed: Parsed) -> Parsed:
        return replace(parsed, text=parsed.text.replace(" ", "\x07", 1))


class KeepsHiddenCharacters(Broken):
    def parse(self, content: bytes, name: str) -> Parsed:
        parsed = super().parse(content, name)
        text = content.decode(errors="replace")
        return replace(parsed, text=text, blocks=()) if "\u200b" in text else parsed


class ChangesItsMind(Broken):
    counter = itertools.count()

    def spoil(self, parsed: Parsed) -> Parsed:
        return replace(parsed, title=f"Title {next(self.counter)}")


class TakesNothingForADocument(Broken):
    def parse(self, content: bytes, name: str) -> Parsed:
        return super().parse(content, name) if content else Parsed("", ())


class SwallowsErrors(Broken):
    def parse(self, content: bytes, name: str) -> Parsed:
        try:
            return super().parse(content, name)
        except DocumentRefused as error:
            if error.reason != "binary":
                raise
            return Parsed("", ())


class TakesBlanksForADocument(Broken):
    def parse(self, content: bytes, name: str) -> Parsed:
        return (
            Parsed("-", (Block("paragraph", 0, 1),))
            if content and not content.strip()
            else super().parse(content, name)
        )


class IgnoresItsLimit(Broken):
    def __init__(self, limits: ParseLimits) -> None:
        super().__init__(ParseLimits(pages=limits.pages))


BROKEN: dict[str, Callable[[ParseLimits], Broken]] = {
    "declares_suffixes_and_version": ShoutsItsSuffixes,
    "keeps_every_fact_of_the_sample": LosesItsLastParagraph,
    "blocks_lie_in_order_inside_the_text_and_do_not_overlap": OverlapsItsBlocks,
    "blocks_cover_everything_but_white_space": LeavesTextOutsideOfBlocks,
    "blocks_are_of_known_kinds_and_only_headings_have_a_level": InventsKinds,
    "pages_are_counted_from_one": CountsPagesFromZero,
    "only_code_holds_line_breaks": MakesOneBlockOfAll,
    "the_text_is_clean": LetsControlCharactersThrough,
    "hidden_characters_of_the_source_do_not_come_through": KeepsHiddenCharacters,
    "the_same_bytes_give_the_same_document": ChangesItsMind,
    "nothing_at_all_is_refused_with_a_reason": TakesNothingForADocument,
    "white_space_is_refused_with_a_reason": TakesBlanksForADocument,
    "binary_rubbish_is_refused_with_a_reason": SwallowsErrors,
    "the_character_limit_holds": IgnoresItsLimit,
}
"""The check that must catch it -> the broken parser. `PointsBesideTheText` has a test of its own: two checks catch it."""

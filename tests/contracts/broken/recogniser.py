"""Recognisers that each break one promise. The suite must reject every one of them, by the check named beside it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from retrieval.documents import Word
from tests.contracts.recogniser_checks import LINES, drawn

Lines = list[list[Word]]


class Broken:
    """Knows the one page and the empty one; the heirs each spoil one thing."""

    version = "broken 1"
    unsure_below = 0.8

    def read(self, picture: bytes) -> Lines:
        return self.spoil([] if picture == drawn() else [_words(line, number) for number, line in enumerate(LINES)])

    def spoil(self, lines: Lines) -> Lines:
        return lines

    def each(self, change: Callable[[Word], Word], lines: Lines) -> Lines:
        return [[change(word) for word in line] for line in lines]


def _words(line: str, number: int) -> list[Word]:
    top = 66.0 + 100 * number
    return [Word(text, 0.95, 60 + 90.0 * at, top, 140 + 90.0 * at, top + 30) for at, text in enumerate(line.split())]


class HasNoVersion(Broken):
    version = " "


class MisreadsADigit(Broken):
    def spoil(self, lines: Lines) -> Lines:
        return self.each(lambda word: word._replace(text=word.text.replace("1", "7")), lines)


class PutsAllOnOneLine(Broken):
    def spoil(self, lines: Lines) -> Lines:
        return [[word for line in lines for word in line]] if lines else []


class ReadsFromTheRight(Broken):
    def spoil(self, lines: Lines) -> Lines:
        return [line[::-1] for line in lines]


class TellsPlacesAsShares(Broken):
    def spoil(self, lines: Lines) -> Lines:
        return self.each(lambda word: word._replace(top=word.top / 400, bottom=word.bottom / 400), lines)


class CountsConfidenceInPercent(Broken):
    def spoil(self, lines: Lines) -> Lines:
        return self.each(lambda word: word._replace(confidence=95), lines)


class ReadsGaps(Broken):
    def spoil(self, lines: Lines) -> Lines:
        return [[*line, Word(" ", 0.95, 990, 70, 999, 80)] for line in lines]


class SeesWordsInNothing(Broken):
    def read(self, picture: bytes) -> Lines:
        return super().read(picture) or [[Word("l", 0.9, 10, 10, 20, 20)]]


class ChangesItsMind(Broken):
    def __init__(self) -> None:
        self.times = itertools.count()

    def spoil(self, lines: Lines) -> Lines:
        return self.each(lambda word: word._replace(confidence=0.9 + next(self.times) / 10_000), lines)


BROKEN: dict[str, type[Broken]] = {
    "names_its_version_and_its_bound": HasNoVersion,
    "reads_every_word_and_digit_of_a_clean_page": MisreadsADigit,
    "the_lines_are_apart": PutsAllOnOneLine,
    "words_stand_from_left_to_right": ReadsFromTheRight,
    "places_are_pixels_inside_the_picture_around_the_words": TellsPlacesAsShares,
    "confidence_is_between_0_and_1_and_the_digits_of_a_clean_page_are_sure": CountsConfidenceInPercent,
    "no_word_is_empty": ReadsGaps,
    "an_empty_page_has_no_words": SeesWordsInNothing,
    "the_same_picture_is_read_alike": ChangesItsMind,
}
"""Check -> the recogniser that only it is there to catch."""

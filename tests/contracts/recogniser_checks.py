"""What everything that recognises words promises, as plain checks: the suite runs them on the real ones, and on broken ones to test itself."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFont

from retrieval.contract import Recogniser
from retrieval.documents import Word

LINES = ("Invoice 2026-10442 of 14 March", "The total is 1,204.50 EUR in 30 days.")
SIZE = (1000, 400)


def drawn(*lines: str) -> bytes:
    picture = Image.new("RGB", SIZE, "white")
    for number, line in enumerate(lines):
        place = (60, 60 + 100 * number)
        ImageDraw.Draw(picture).text(place, line, fill="black", font=ImageFont.load_default(36))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _read(recogniser: Recogniser) -> list[list[Word]]:
    return recogniser.read(drawn(*LINES))


def names_its_version_and_its_bound(recogniser: Recogniser) -> None:
    assert isinstance(recogniser, Recogniser)
    assert recogniser.version.strip()
    assert 0 < recogniser.unsure_below < 1


def reads_every_word_and_digit_of_a_clean_page(recogniser: Recogniser) -> None:
    read = "".join(word.text for line in _read(recogniser) for word in line)
    assert "".join(read.split()) == "".join("".join(LINES).split())


def the_lines_are_apart(recogniser: Recogniser) -> None:
    found = ["".join(word.text for word in line).replace(" ", "") for line in _read(recogniser)]
    assert sorted(found) == sorted(line.replace(" ", "") for line in LINES)


def words_stand_from_left_to_right(recogniser: Recogniser) -> None:
    for line in _read(recogniser):
        assert [word.left for word in line] == sorted(word.left for word in line)


def places_are_pixels_inside_the_picture_around_the_words(recogniser: Recogniser) -> None:
    for word in (word for line in _read(recogniser) for word in line):
        assert 0 <= word.left < word.right <= SIZE[0]
        assert 0 <= word.top < word.bottom <= SIZE[1]
        middle = (word.top + word.bottom) / 2
        assert 60 < middle < 110 if word.text in LINES[0] and word.text not in LINES[1] else 60 < middle < 210


def confidence_is_between_0_and_1_and_the_digits_of_a_clean_page_are_sure(recogniser: Recogniser) -> None:
    for word in (word for line in _read(recogniser) for word in line):
        assert 0 <= word.confidence <= 1
        assert word.confidence >= recogniser.unsure_below or not any(map(str.isdigit, word.text))


def no_word_is_empty(recogniser: Recogniser) -> None:
    lines = _read(recogniser)
    assert all(lines)
    assert all(word.text == word.text.strip() != "" for line in lines for word in line)


def an_empty_page_has_no_words(recogniser: Recogniser) -> None:
    assert recogniser.read(drawn()) == []


def the_same_picture_is_read_alike(recogniser: Recogniser) -> None:
    assert _read(recogniser) == _read(recogniser)


CHECKS: tuple[Callable[[Recogniser], None], ...] = (
    names_its_version_and_its_bound,
    reads_every_word_and_digit_of_a_clean_page,
    the_lines_are_apart,
    words_stand_from_left_to_right,
    places_are_pixels_inside_the_picture_around_the_words,
    confidence_is_between_0_and_1_and_the_digits_of_a_clean_page_are_sure,
    no_word_is_empty,
    an_empty_page_has_no_words,
    the_same_picture_is_read_alike,
)

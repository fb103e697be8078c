"""What the words of a text say, whatever its language."""

# ruff: noqa: RUF001 - letters of many scripts are the subject
from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.text.lexical import figures, names, terms, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("वारंटी हिन्दी", ["वारंटी", "हिन्दी"]),
        ("கோபுரத்தின் உயரம்", ["கோபுரத்தின்", "உயரம்"]),
        ("İNCİR ve ışık, IŞIK", ["incir", "ve", "isik", "isik"]),
        ("Café naïve", ["cafe", "naive"]),
        ("الكتاب وكتابها", ["كتاب", "كتاب"]),
        ("保修期", ["保修", "修期"]),
        ("\U00020000\U00020001\U00020002", ["\U00020000\U00020001", "\U00020001\U00020002"]),
        ("Don’t it's", ["don’t", "it"]),
    ],
)
def test_words_keep_their_vowel_signs_and_lose_case_accents_and_affixes(text: str, found: list[str]) -> None:
    assert words(text) == found


@pytest.mark.parametrize(
    "text", ["Łódź świętuje", "Ποιο ύψος", "한국어 문장", "ごみは月曜日", "Tiền phạt trả muộn", "مدرسة أحمد"]
)
def test_composed_and_decomposed_spelling_are_the_same(text: str) -> None:
    assert terms(unicodedata.normalize("NFD", text)) == terms(unicodedata.normalize("NFC", text))


def test_figures_are_the_same_in_the_digits_of_every_script() -> None:
    assert figures("در سال ۱۹۰۴") == figures("१९०४ में") == {"1904"}


PLAIN = re.compile(r"(?<![.!?:;\n])(?<=\S)[ (“\"'-]+([A-Z][\w’'-]*\w|[A-Z])")
"""Of a name; begun anew at each character between two words: easy to see through, but the square of the time."""
PIECES = ["lamp", "Ada", "B", "x1", "-", "'", '"', "(", " ", ".", ":", "\n", ")", "\t"]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_names_are_those_of_the_plain_pattern(text: str) -> None:
    assert names(text) == {match[1] for match in PLAIN.finditer(text)}


def test_a_capital_that_only_begins_a_sentence_names_nothing() -> None:
    assert names("Ships to Ada. Lamps, too, and to “Bert” (Cologne).") == {"Ada", "Bert", "Cologne"}

"""Texts in the form in which they are searched by keyword."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.text.tokens import searchable, telling_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("两年", ["两年"]),
        ("保", ["保"]),
        ("保修期为", ["保修", "修期", "期为"]),
        ("東京タワー", ["東京", "京タ", "タワ", "ワー"]),
        ("한국어를", ["한국", "국어", "어를"]),
        ("ดี", ["ดี"]),
        ("\U00020000\U00020001\U00020002", ["\U00020000\U00020001", "\U00020001\U00020002"]),
    ],
)
def test_a_run_without_spaces_becomes_overlapping_pairs(text: str, words: list[str]) -> None:
    assert telling_words(text) == words


def test_scripts_that_touch_are_told_apart() -> None:
    assert telling_words("型号QP-5的保修") == ["型号", "QP", "5", "的保", "保修"]


@pytest.mark.parametrize("form", ["كتاب", "الكتاب", "والكتاب", "كتابها", "كِتَابٌ", "كتـاب", "بالكتاب"])
def test_forms_of_an_arabic_word_are_one(form: str) -> None:
    assert telling_words(form) == ["كتاب"]


def test_a_short_arabic_word_is_not_stripped_to_nothing() -> None:
    assert all(word for word in telling_words("ال وال في"))


@pytest.mark.parametrize("form", ["гарантия", "гарантии", "гарантийного"])
def test_endings_of_long_cyrillic_words_do_not_count(form: str) -> None:
    assert telling_words(form) == ["гаран"]


def test_compatibility_forms_become_plain() -> None:
    assert telling_words("ＱＰ－５ ｶﾀｶﾅ") == ["QP", "5", "カタ", "タカ", "カナ"]  # noqa: RUF001 - wide letters are meant


def test_latin_letters_that_are_no_letter_with_an_accent_are_spelt_as_people_type_them() -> None:
    assert telling_words("Łask, Straße, ǿ") == ["Lask", "Strasse", "ó"]  # accents are the index's business


def test_vowel_signs_stay_with_their_word() -> None:
    assert telling_words("वारंटी, हिन्दी") == ["वारंटी", "हिन्दी"]


def test_a_repeated_word_stays_repeated_and_function_words_go() -> None:
    assert telling_words("Is the printer the printer?") == ["printer", "printer"]


def test_a_query_of_function_words_alone_keeps_them() -> None:
    assert telling_words("Who are you?") == ["Who", "are", "you"]


@given(st.text(max_size=80))
def test_any_text_can_be_prepared_and_plain_english_passes_untouched(text: str) -> None:
    assert all(telling_words(text))
    assert not text.isascii() or searchable(text) == text

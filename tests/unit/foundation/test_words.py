"""Words are counted alike in scripts with and without spaces."""

from __future__ import annotations

from foundation.text.words import word_count


def test_a_run_without_spaces_counts_the_words_that_fill_its_room() -> None:
    assert word_count("It runs - and rests.") == 5
    assert word_count("保修期为两年。") == 3
    assert word_count("한국어 문장 입니다.") == 3
    assert word_count("ห้องสมุดสีเขียวปิดทุกวันจันทร์") == 6

# ruff: noqa: RUF001 - letters of many scripts are the subject
"""Where sentences end, in many scripts, lists and tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.text.sentences import sentence_spans


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


def test_abbreviations_and_amounts_do_not_end_a_sentence() -> None:
    text = "Dr. Ames paid $3.50 to Quillfeather Inc. in May. He kept the receipt."

    assert sentences(text) == ["Dr. Ames paid $3.50 to Quillfeather Inc. in May.", "He kept the receipt."]


def test_list_items_and_lines_are_sentences_of_their_own() -> None:
    assert sentences("Bring:\nyour receipt\nthe parcel") == ["Bring:", "your receipt", "the parcel"]


def test_a_labelled_table_row_stays_whole_although_a_cell_holds_full_stops() -> None:
    row = "Plan: Basic; Note: No extras. Cancel any time.; Price: 9 EUR"

    assert sentences(row) == [row]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("你好。再见！", ["你好。", "再见！"]),
        ("彼は「はい。」と言った。終わり。", ["彼は「はい。」と言った。", "終わり。"]),
        ("「好。」他说。", ["「好。」", "他说。"]),
        ("価格は３．５円です．次です．", ["価格は３．５円です．", "次です．"]),
        ("Պատասխան։ Այո։", ["Պատասխան։", "Այո։"]),
        ("ខ្ញុំទៅ។ អ្នកមក។", ["ខ្ញុំទៅ។", "អ្នកមក។"]),
        ("ሰላም። ደህና።", ["ሰላም።", "ደህና።"]),
        ("Τι είναι; Είναι καλό.", ["Τι είναι;", "Είναι καλό."]),
        ("كم السعر؟ السعر عشرة", ["كم السعر؟", "السعر عشرة"]),
    ],
)
def test_full_stops_of_other_scripts_end_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_thai_ends_a_sentence_with_a_space_and_short_pieces_stay_together() -> None:
    long, short = "ห้องสมุดสีเขียวปิดทุกวันจันทร์และวันหยุดราชการ", "คุณ มาลี"

    assert sentences(f"{long} {short} {long}") == [long, f"{short} {long}"]


@pytest.mark.parametrize(
    "whole",
    [
        "Der Vertrag gilt ab dem 3. Mai 2024.",
        "Im 19. Jahrhundert kam die 2. Auflage.",
        "Das Geschäft schließt am 24. Dezember.",
        "Viz např. ceník č. 5.",
        "Np. w ul. Długa 5.",
        "См. ул. Ленина, д. 5.",
        "Dr. Yılmaz Mah. Atatürk Cad. No. 5 adresindedir.",
        "La Dra. Ruiz y Mme. Durand.",
        "Βλ. σελ. 5 και τηλ. 210 555.",
        "PGS. TS. Nguyễn nói.",
        "यह डॉ. शर्मा हैं।",
    ],
)
def test_ordinals_and_abbreviations_of_other_languages_end_no_sentence(whole: str) -> None:
    assert sentences(f"{whole} {whole}") == [whole, whole]


def test_a_figure_at_the_end_of_a_sentence_ends_it() -> None:
    assert sentences("Siehe Kapitel 3. Der Rest folgt. It costs 3. Nobody came.") == [
        "Siehe Kapitel 3.",
        "Der Rest folgt.",
        "It costs 3.",
        "Nobody came.",
    ]


@given(st.text(max_size=300))
def test_no_visible_character_is_lost_and_no_two_sentences_overlap(text: str) -> None:
    spans = sentence_spans(text)
    covered = [index for start, end in spans for index in range(start, end)]

    assert len(covered) == len(set(covered))
    assert all(text[index].isspace() for index in set(range(len(text))) - set(covered))
    assert all(text[start:end] == text[start:end].strip() != "" for start, end in spans)
    assert spans == sorted(spans)

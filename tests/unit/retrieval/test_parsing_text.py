"""Cleaning, decoding and the draft that every parser writes into."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import DocumentRefused
from retrieval.contract import ParseLimits
from retrieval.formats.text_blocks import Draft, clean, decode, looks_like_header, row_text


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        ("re\u200bfund", "refund"),
        ("a\x00b\x07c", "abc"),
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07text", "red text"),
        ("evil\u202etxt\u202c", "eviltxt"),
        ("tag\U000e0041\U000e0042ged", "tagged"),
        ("half \ud800 pair", "half  pair"),
        ("cafe\u0301", "café"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("o\ufb03ce\xa0hours", "office hours"),
    ],
)
def test_what_a_reader_cannot_see_is_removed(hidden: str, shown: str) -> None:
    assert clean(hidden) == shown


def test_a_joiner_that_is_spelling_stays() -> None:
    assert clean("می\u200cروم") == "می\u200cروم"


@given(st.text(alphabet=st.characters(), max_size=200))
def test_cleaning_twice_changes_nothing_and_the_result_can_be_encoded(text: str) -> None:
    once = clean(text)

    assert clean(once) == once
    once.encode("utf-8")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_usual_encodings_are_read(encoding: str) -> None:
    text = "Die Gebühr beträgt fünf Euro, und für Übergrößen wird ein Zuschlag erhoben. " * 3

    assert decode(text.encode(encoding), "fees.txt") == text


@pytest.mark.parametrize(
    "content", [b"%PDF-1.7\n\x00\x01\x02\x03" * 20, bytes(range(256)) * 8, b"\x01\x02\x03\x04" * 50]
)
def test_binary_data_is_refused_by_reason(content: bytes) -> None:
    with pytest.raises(DocumentRefused) as refused:
        decode(content, "picture.txt")

    assert refused.value.reason == "binary"


def test_blocks_point_at_their_text_and_paragraphs_hold_no_line_break() -> None:
    draft = Draft("a.md", ParseLimits())
    draft.add("heading", "Returns", level=1)
    draft.add("paragraph", "Within\n  thirty days.")
    draft.add("item", "one")
    draft.add("item", "two")
    parsed = draft.finish()

    assert [parsed.text[block.start : block.end] for block in parsed.blocks] == [
        "Returns",
        "Within thirty days.",
        "one",
        "two",
    ]
    assert parsed.title == "Returns"


def test_text_that_outgrows_its_limit_is_refused_at_once() -> None:
    draft = Draft("a.txt", ParseLimits(characters=10))

    with pytest.raises(DocumentRefused) as refused:
        draft.add("paragraph", "more than ten characters")

    assert refused.value.reason == "too_large"


def test_a_document_without_text_is_refused_as_empty() -> None:
    with pytest.raises(DocumentRefused) as refused:
        Draft("a.txt", ParseLimits()).finish()

    assert refused.value.reason == "empty"


def test_a_row_repeats_its_column_names_and_leaves_empty_cells_out() -> None:
    assert row_text(["Basic", "", "9 EUR"], ["Plan", "Seats", "Price"]) == "Plan: Basic; Price: 9 EUR"


def test_a_row_without_column_names_is_separated_by_bars() -> None:
    assert row_text(["Basic", "9 EUR"], []) == "Basic | 9 EUR"


@pytest.mark.parametrize(
    ("rows", "header"),
    [
        ([["Plan", "Price"], ["Basic", "9"]], True),
        ([["1", "2"], ["3", "4"]], False),
        ([["Plan", "Plan"], ["a", "b"]], False),
        ([["Plan", "Price"]], False),
    ],
)
def test_column_names_are_told_from_values(rows: list[list[str]], header: bool) -> None:
    assert looks_like_header(rows) is header


def test_two_columns_of_words_are_not_given_invented_column_names() -> None:
    draft = Draft("a.docx", ParseLimits())
    draft.table([["Colour", "Black"], ["Size", "Large"]])

    assert draft.finish().text == "Colour | Black\nSize | Large"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("La livraison arrive à l'été; déjà payé.".encode("latin-1"), "La livraison arrive à l'été; déjà payé."),
        ("Größe “mittel” – 5 €".encode("cp1252"), "Größe “mittel” – 5 €"),
        ("Поставка придёт в пятницу утром.".encode("cp1251"), "Поставка придёт в пятницу утром."),
        ("Grüße und Küche: schön".encode()[:-2], "Grüße und Küche: sch\ufffd"),
    ],
)
def test_short_and_damaged_texts_are_read_as_they_were_meant(content: bytes, text: str) -> None:
    assert decode(content, "note.txt") == text


RUSSIAN = "Отпуск необходимо согласовать с руководителем до первого июня.\n"  # noqa: RUF001 - it is Cyrillic
JAPANESE = "来月の会議は六月三日の午後三時から行います。\n資料は前日までに提出してください。\n"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", [RUSSIAN, JAPANESE * 200], ids=["Russian", "Japanese"])
def test_other_scripts_are_read_without_a_mark(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding), "note.txt") == text


@pytest.mark.parametrize(
    ("text", "encodings"),
    [
        (JAPANESE, ["iso2022_jp"]),
        ("직원 여러분께 알려드립니다. 회의가 있습니다.", ["iso2022_kr"]),
        ("Wniosek o urlop należy złożyć do końca miesiąca. Życzymy miłego dnia, dziękujemy.", ["cp1250", "iso8859-2"]),
        ("Žádost o dovolenou je třeba podat do konce měsíce. Příští schůzka bude ve čtvrtek.", ["cp1250", "iso8859-2"]),
        ("A szabadságot a hónap végéig kell kérni. Köszönjük az együttműködést, jövő őszig!", ["cp1250"]),
        ("İzin taleplerinizi ay sonuna kadar iletmeniz gerekmektedir. Teşekkür ederiz, iyi günler.", ["cp1254"]),
        ("La società è aperta, però più tardi; così si può venire lunedì.", ["cp1252"]),
        ("Für die Rücksendung genügt das Etikett. Grüße aus Köln.", ["cp850", "cp1252"]),
        ("Główny magazyn zamknięty w sobotę", ["cp1250", "iso8859-2"]),
        ("Zespół usług ogólnych", ["cp1250", "iso8859-2"]),
        ("Sprzedaż, główny węzeł", ["cp1250", "iso8859-2"]),
        ("Łukasz mówi, że to 100 zł", ["cp1250", "iso8859-2"]),
        ("Škoda Plzeň a Žatec", ["cp1250", "iso8859-2"]),
        ("Köln ist schön", ["cp850", "cp1252"]),
        ("Hola, ¿no vienes mañana? ¿Qué tal, Sr. Pérez?", ["cp1252"]),
        ("Fläche 20 m², Volumen 5 m³/h; Preis³ für x³ in cm³", ["cp1252"]),
        ("Nº 5 … €5", ["cp1252", "mac_roman"]),
        ("Señor Núñez, 3º B", ["cp1252", "cp850", "mac_roman"]),
        ("Crème brûlée, Café", ["cp1252", "cp850", "mac_roman"]),
        ("Un oraş", ["cp1250", "iso8859-2"]),
        ("Costs £5m (£m), area 20 m², 5 ft³", ["cp1252"]),
    ],
)
def test_texts_of_many_languages_are_read_in_the_encodings_of_old_programs(text: str, encodings: list[str]) -> None:
    assert [decode(text.encode(encoding), "note.txt") for encoding in encodings] == [text] * len(encodings)


def test_old_encodings_of_large_texts_are_found_in_time_that_grows_with_their_length() -> None:
    for text, encoding in ((RUSSIAN, "cp1251"), ("Główny magazyn zamknięty w sobotę, że\n", "cp1250")):
        content = (text * (1_000_000 // len(text))).encode(encoding)
        started = time.process_time()

        assert decode(content, "note.txt").startswith(text)

        assert time.process_time() - started < 1.0  # a walk by letter through every encoding took twice that


def test_pictures_and_programs_are_not_taken_for_text_of_another_script() -> None:
    picture = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x10\x00\x00\x00\x0f\x08\x02\x00\x00\x00"
    program = b"\x7fELF\x02\x01\x01\x00" + b"\x00" * 8 + b"\x03\x00\x3e\x00\x01\x00\x00\x00" * 30

    for content in (picture, program):
        with pytest.raises(DocumentRefused) as refused:
            decode(content, "note.txt")
        assert refused.value.reason == "binary"


@pytest.mark.parametrize(
    ("declared", "content", "text"),
    [
        ("iso-8859-1", "“5 €”".encode("cp1252"), "“5 €”"),
        ("gb2312", "朱镕基".encode("gb18030"), "朱镕基"),
        ("undefined", b"x", "x"),
        ("rot13", b"x", "x"),
        ("klingon", b"x", "x"),
        ("utf-8", "Die Größe und das Maß".encode("cp1252"), "Die Größe und das Maß"),
        ("iso-8859-1", "\ufeff朱".encode(), "朱"),
    ],
)
def test_a_declared_encoding_is_read_as_browsers_read_it_and_a_wrong_one_not_at_all(
    declared: str, content: bytes, text: str
) -> None:
    assert decode(content, "page.html", declared) == text

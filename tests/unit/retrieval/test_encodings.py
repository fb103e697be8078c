"""Text in the encodings of old programs."""

from __future__ import annotations

import time

import pytest

from foundation.errors import DocumentRefused
from retrieval.formats.text_blocks import decode
from retrieval.text import encodings


def test_what_is_of_none_of_these_encodings_is_left_to_a_guess() -> None:
    assert encodings.decode_latin("Поставка".encode("cp1251")) is None
    assert encodings.decode_shifts(b"a plain text") is None
    assert encodings.decode_unmarked(b"\x7fELF\x02\x01\x01\x00" + bytes(8)) is None


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "cp1252"])
def test_usual_encodings_are_read_without_a_mark(encoding: str) -> None:
    text = "Die Gebühr beträgt fünf Euro, und für Übergrößen wird ein Zuschlag erhoben. " * 3

    assert decode(text.encode(encoding), "fees.txt") == text


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

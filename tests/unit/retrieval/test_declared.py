"""Texts that say in which encoding they are, rightly or wrongly."""

from __future__ import annotations

import pytest

from retrieval.formats.declared import decode_declared


def test_a_declared_encoding_that_is_wrong_is_not_believed() -> None:
    text = "Die Größe und das Maß"

    assert decode_declared(text.encode("cp1252"), "page.html", "utf-8") == text


@pytest.mark.parametrize(
    ("text", "declared"),
    [("Größe", "iso-8859-1"), ("5 – 7", "windows-1251"), ("Поставка", "iso-8859-1"), ("Größe", "windows-1250")],
)
def test_utf8_that_is_declared_as_something_else_is_read_as_what_it_is(text: str, declared: str) -> None:
    assert decode_declared(text.encode(), "page.html", declared) == text


@pytest.mark.parametrize(
    ("text", "declared"),
    [("NESCAFÉ®", "iso-8859-1"), ("CAFÉ™ and ROSÉ™", "windows-1252"), ("ﾃｽ", "shift_jis")],
)
def test_a_few_bytes_that_could_be_utf8_are_read_as_declared(text: str, declared: str) -> None:
    encoding = "cp1252" if declared == "iso-8859-1" else declared
    assert decode_declared(text.encode(encoding), "page.html", declared) == text


@pytest.mark.parametrize(
    ("declared", "content", "text"),
    [
        ("iso-8859-1", "“5 €”".encode("cp1252"), "“5 €”"),
        ("gb2312", "朱镕基".encode("gb18030"), "朱镕基"),
        ("undefined", b"x", "x"),
        ("rot13", b"x", "x"),
        ("klingon", b"x", "x"),
        ("iso-8859-1", "\ufeff朱".encode(), "朱"),
        ("iso-8859-1", "Zürich".encode(), "Zürich"),
        ("windows-1251", "нет".encode(), "нет"),
        ("windows-1252", "škola".encode(), "škola"),
        ("iso-8859-7", "für".encode(), "für"),
        ("gb2312", "这个是什么".encode(), "这个是什么"),
        ("gb2312", "联通".encode("gb2312"), "联通"),
        ("shift_jis", "東京都の天気".encode("cp932"), "東京都の天気"),
        ("windows-1251", "Привет".encode("cp1251"), "Привет"),
        ("iso-2022-jp", "東京都の天気".encode("iso2022_jp"), "東京都の天気"),
    ],
)
def test_a_declared_encoding_is_read_as_browsers_read_it_and_a_wrong_one_not_at_all(
    declared: str, content: bytes, text: str
) -> None:
    assert decode_declared(content, "page.html", declared) == text

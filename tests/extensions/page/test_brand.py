"""`[page]`: which logos and colours are taken, and that the sign-in shows them under its policy."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from extensions.page import sign_in
from extensions.page.brand import Brand, media_type_of
from extensions.page.settings import PageSettings

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><path id="a" d="M0 0h9v9z" fill="#0b6b4f"/><use href="#a"/></svg>'


def brand(folder: Path, content: bytes, *, name: str = "", primary: str | None = None) -> Brand:
    (folder / "logo").write_bytes(content)
    look = PageSettings(logo=folder / "logo", primary=primary)
    return Brand(name, look.logo, look.primary)


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (SVG, "image/svg+xml"),
        (b"\x89PNG\r\n...", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"RIFFx", "image/webp"),
    ],
)
def test_a_picture_is_taken_by_what_it_holds(tmp_path: Path, content: bytes, media_type: str) -> None:
    brand(tmp_path, content)
    assert media_type_of(content) == media_type


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (SVG.replace(b"<path", b"<script>alert(1)</script><path"), "script"),
        (SVG.replace(b"<path", b"<path onload = 'x()'"), "onload"),
        (SVG.replace(b"#a", b"https://example.org/a.svg#a"), "href"),
        (SVG.replace(b"#0b6b4f", b"url(https://example.org/a)"), "url"),
        (b'<!DOCTYPE svg [<!ENTITY x "y">]>' + SVG, "DOCTYPE"),
        (SVG.replace(b"<path", b"<svg:foreignObject/><path"), "foreignObject"),
        (b"<html></html>", "no SVG, PNG"),
        (SVG + b" " * 200_000, "at most 200,000"),
    ],
)
def test_another_file_is_refused_with_what_is_wrong(tmp_path: Path, content: bytes, wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        brand(tmp_path, content)
    with pytest.raises(ValidationError, match="cannot be read"):
        PageSettings(logo=tmp_path / "absent.svg")


@pytest.mark.parametrize("colour", ["#ffee00", "green", "#0b6b4f; } body { display: none", "#12345"])
def test_a_colour_is_one_that_can_be_read_on_white(colour: str) -> None:
    with pytest.raises(ValidationError, match=r"contrast|pattern"):
        PageSettings(primary=colour)


def test_the_sign_in_shows_name_logo_and_colour_under_a_policy_that_admits_its_style(tmp_path: Path) -> None:
    page = sign_in.form("", brand(tmp_path, SVG, name="Harbour <desk>", primary="#0b6b4f"), tokens=False)
    assert "<title>Sign in · Harbour &lt;desk&gt;</title>" in page
    assert f"data:image/svg+xml;base64,{base64.b64encode(SVG).decode()}" in page
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert "--mark: #0b6b4f;" in style
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in sign_in.headers(page)["Content-Security-Policy"]
    assert "{" not in page.replace(style, "")

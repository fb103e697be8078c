"""Tesseract in the place of rapidocr; tests/extensions/ocr runs the promises of both."""

import io

import pytest
from PIL import Image

from extensions.tesseract.parser import build
from foundation.errors import MissingDependency
from foundation.extensions import find_modules
from retrieval.documents import ParseLimits
from retrieval.ingest.parsing import parser_for


def test_it_takes_the_place_of_the_other_where_both_are_on() -> None:
    for names, engine in ((["ocr"], "rapidocr"), (["ocr", "tesseract"], "tesseract")):
        limits = ParseLimits(parsers=find_modules("retrieval.parsers", names))
        assert parser_for("a.png", limits).version.startswith(engine)
        assert parser_for("a.pdf", limits).version.startswith(engine)


def test_without_the_program_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    file = io.BytesIO()
    Image.new("RGB", (50, 50)).save(file, "PNG")
    with pytest.raises(MissingDependency, match="apt-get install tesseract-ocr"):
        build(ParseLimits()).parse(file.getvalue(), "a.png")

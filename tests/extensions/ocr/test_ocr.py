"""Pictures and scans: their words, where they stand, digits that were not read surely, and what is refused."""

from __future__ import annotations

import io
import json
import zipfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fpdf import FPDF
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from extensions.ocr import pictures, routes
from extensions.ocr.pictures import PIXELS
from extensions.ocr.words import UNCLEAR
from foundation.components import Context
from foundation.errors import DocumentRefused, NotFound
from foundation.extensions import find_modules
from foundation.settings import Section
from foundation.types import Principal
from retrieval.contract import Recogniser
from retrieval.documents import Parsed, ParseLimits, Source, Word
from retrieval.grounding.checks import check_answer
from retrieval.ingest.parsing import CORE, NeedsRoom, find_newer_parser, parse_here
from retrieval.ingest.preparation import Item
from retrieval.ingest.sandbox import ParserPool
from retrieval.settings import ParsingSettings
from retrieval.tables import row_codec
from serving.settings import load
from serving.wiring import open_system
from tests.contracts.parser_samples import SAMPLES
from tests.doubles.stacks import stack

LINES = ("Invoice 2026-10442 of 14 March", "The total is 1,204.50 EUR in 30 days.")
PARSERS = find_modules("retrieval.parsers", ["ocr", "office"])


OFFICE = find_modules("retrieval.parsers", ["office"])


def altered(package: bytes, name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.namelist():
            new.writestr(member, content if member == name else old.read(member))
    return out.getvalue()


def draw(*lines: str, size: tuple[int, int] = (1000, 400)) -> Image.Image:
    picture = Image.new("RGB", size, "white")
    for number, line in enumerate(lines):
        font = ImageFont.load_default(32)
        ImageDraw.Draw(picture).text((60, 60 + 50 * number), line, fill="black", font=font)
    return picture


def saved(picture: Image.Image, kind: str = "PNG", **more: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **more)
    return file.getvalue()


class Options(Section):
    words: list[tuple[str, float]]


class Told:
    """A recogniser that reads one line of words that it was told."""

    version, unsure_below = "told 1", 0.8

    def __init__(self, words: list[tuple[str, float]]) -> None:
        self._words = words

    def read(self, picture: bytes) -> list[list[Word]]:
        with Image.open(io.BytesIO(picture)) as opened:
            wide, high = opened.width / 1000, opened.height / 1000
        places = [(100 * at * wide, 50 * high, (100 * at + 90) * wide, 70 * high) for at in range(len(self._words))]
        return [[Word(*word, *place) for word, place in zip(self._words, places, strict=True)]]


def build(options: Options, context: Context) -> Recogniser:
    del context
    return Told(options.words)


def with_ocr(recogniser: dict[str, Any], **more: Any) -> ParseLimits:
    return ParseLimits(parsers=PARSERS, recogniser=json.dumps(recogniser), **more)


def parse(content: bytes, name: str, *words: tuple[str, float]) -> Parsed:
    return parse_here(content, name, with_ocr({"use": f"{__name__}:build", "words": words}))


@pytest.mark.parametrize("use", ["rapidocr", "tesseract"])
def test_a_tilted_and_blurred_page_is_read_in_the_sandbox_with_the_place_of_each_word(use: str) -> None:
    tilted = draw(*LINES).rotate(1, fillcolor="white", resample=Image.Resampling.BICUBIC)
    scan = saved(tilted.filter(ImageFilter.GaussianBlur(1)), "PDF")
    with closing(ParserPool(ParsingSettings(timeout_s=120), with_ocr({"use": use}))) as pool:
        parsed = pool.parse(scan, "scan.pdf")
        assert "1,204.50" in parsed.text
        assert "10442" in parsed.text
        box = next(box for box in parsed.boxes if "1,204.50" in parsed.text[box.start : box.end])
        assert box.page == 1
        assert 200 < box.left < box.right < 550
        assert 220 < box.top < box.bottom < 420
        assert not pool.parse(b"# A heading\n\nA text.", "a.md").boxes, "other documents are read as ever"


def test_an_unclear_digit_is_marked_and_is_no_figure() -> None:
    parsed = parse(saved(draw()), "a.png", ("Total", 0.3), ("1,204", 0.7), ("of", 0.9), ("1,300", 0.95))
    assert parsed.text == f"Total {UNCLEAR},{UNCLEAR * 3} of 1,300"
    assert [parsed.text[box.start : box.end] for box in parsed.boxes] == parsed.text.split()
    assert row_codec.read_parsed(parsed.text, row_codec.outline(parsed), parsed.parsers).boxes == parsed.boxes
    assert not UNCLEAR.isnumeric()


def test_an_answer_that_asserts_a_figure_that_was_not_read_surely_is_found_out() -> None:
    read = parse(saved(draw()), "a.png", ("Total", 0.9), ("1,204", 0.6), ("EUR", 0.9)).text
    (finding,) = check_answer("The total is 1,204 EUR. [1]", {1: read}, ()).findings
    assert finding.detail.startswith("says 1,204, which was not read")
    surely = parse(saved(draw()), "a.png", ("Total", 0.9), ("1,204", 0.9), ("EUR", 0.9)).text
    assert not check_answer("The total is 1,204 EUR. [1]", {1: surely}, ()).findings


def test_pages_with_text_are_read_as_ever_and_those_between_are_recognised() -> None:
    pdf = FPDF()
    pdf.set_font("helvetica", size=12)
    for text in ("First page.", "", "Third page."):
        pdf.add_page()
        if text:
            pdf.cell(text=text)
        else:
            pdf.image(draw(*LINES), w=150)
    parsed = parse(bytes(pdf.output()), "mixed.pdf", ("scanned", 0.9))
    assert parsed.text.split() == ["First", "page.", "scanned", "Third", "page."]
    assert [(block.page, parsed.text[block.start : block.end]) for block in parsed.blocks][1] == (2, "scanned")
    assert [box.page for box in parsed.boxes] == [2]


def test_a_picture_on_a_page_with_text_is_read_behind_it_once_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    pdf = FPDF()
    pdf.set_font("helvetica", size=12)
    for text in ("First page.", "Second page."):
        pdf.add_page()
        pdf.cell(text=text)
        pdf.image(draw(*LINES), x=50, y=100, w=100)
    parsed = parse(bytes(pdf.output()), "both.pdf", ("pictured", 0.9))
    assert [parsed.text[block.start : block.end] for block in parsed.blocks] == [
        "First page.",
        "pictured",
        "Second page.",
    ]
    (box,) = parsed.boxes
    assert box.page == 1
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "OBJECTS", 1)
        assert "pictured" not in parse(bytes(pdf.output()), "both.pdf", ("pictured", 0.9)).text, (
            "it is looked for no longer"
        )
    assert 230 < box.left < box.right < 720
    assert 330 < box.top < box.bottom < 480


def test_a_scan_whose_words_were_recognised_before_and_an_icon_are_not_read_again() -> None:
    pdf = FPDF()
    pdf.add_page()
    pdf.image(draw(*LINES), x=0, y=0, w=210)
    pdf.set_font("helvetica", size=12)
    pdf.text(20, 20, "Read before.")
    pdf.image(draw(size=(64, 64)), x=20, y=200, w=10)
    limits = with_ocr({"use": f"{__name__}:build", "words": [["read again", 0.9]]}, memory_mb=512)
    assert parse_here(bytes(pdf.output()), "searchable.pdf", limits).text == "Read before."


def test_a_pdf_with_text_is_read_as_without_the_extension_by_the_small_process() -> None:
    limits = with_ocr({"use": f"{__name__}:build", "words": [["never read", 0.9]]}, memory_mb=512)
    on, off = (parse_here(SAMPLES[".pdf"](), "a.pdf", each) for each in (limits, CORE))
    assert replace(on, parsers=off.parsers) == off
    with pytest.raises(NeedsRoom):
        parse_here(saved(draw(), "PDF"), "scan.pdf", limits)


def test_a_pdf_is_read_anew_once_and_stays_when_the_extension_goes() -> None:
    limits = with_ocr({"use": f"{__name__}:build", "words": [["word", 0.9]]})
    before, after = (parse_here(SAMPLES[".pdf"](), "a.pdf", each).parsers for each in (CORE, limits))
    assert find_newer_parser("a.pdf", before, limits) is not None
    assert find_newer_parser("a.pdf", after, limits) is None
    assert find_newer_parser("a.pdf", after) is None
    other = with_ocr({"use": "tesseract"})
    assert find_newer_parser("a.pdf", after, other) == before[0]
    assert "pictures" in str(find_newer_parser("a.png", parse(saved(draw()), "a.png", ("word", 0.9)).parsers, other))


def test_pictures_in_a_word_document_are_read_at_their_place_and_what_is_no_picture_is_left_out() -> None:
    from docx import Document

    document = Document()
    document.add_paragraph("Before it.")
    for picture in (draw(*LINES), draw(*LINES), draw(size=(20, 20))):
        document.add_picture(io.BytesIO(saved(picture)))
    document.add_paragraph("Behind it.")
    file = io.BytesIO()
    document.save(file)
    parsed = parse(file.getvalue(), "a.docx", ("scanned", 0.9), ("1,204", 0.3))
    assert parsed.text.split("\n\n") == ["Before it.", f"scanned {UNCLEAR},{UNCLEAR * 3}", "Behind it."]
    assert parsed.boxes == ()
    assert {version.split()[0] for version in parsed.parsers} == {"docx", "pictures"}
    damaged = altered(file.getvalue(), "word/media/image1.png", b"no picture")
    assert parse(damaged, "a.docx", ("scanned", 0.9)).text == "Before it.\n\nBehind it."


def test_pictures_on_a_slide_are_read_with_the_place_of_each_word_on_the_slide() -> None:
    from pptx import Presentation

    show = Presentation()
    for words in ("Total of March", "The end"):
        show.slides.add_slide(show.slide_layouts[5]).shapes.title.text = words
    slide, file = show.slides[0], io.BytesIO(saved(draw(*LINES)))
    half, third = show.slide_width // 2, show.slide_height // 3
    shape = slide.shapes.add_picture(file, half, third, half, third)
    shape._element.nvPicPr.cNvPr.set("descr", "")
    file = io.BytesIO()
    show.save(file)
    parsed = parse(file.getvalue(), "a.pptx", ("Total", 0.9), ("1,204", 0.95))
    assert [(block.page, parsed.text[block.start : block.end]) for block in parsed.blocks] == [
        (1, "Total of March"),
        (1, "Total 1,204"),
        (2, "The end"),
    ]
    assert [parsed.text[box.start : box.end] for box in parsed.boxes] == ["Total", "1,204"]
    first = parsed.boxes[0]
    assert first.start == parsed.text.index("Total 1,204")
    assert (first.page, first.left, first.top, first.right, first.bottom) == (1, 500, 350, 545, 357)


def test_a_document_without_pictures_costs_no_second_process() -> None:
    limits = with_ocr({"use": f"{__name__}:build", "words": [["never read", 0.9]]}, memory_mb=512)
    for suffix in (".docx", ".pptx"):
        on, off = (
            parse_here(SAMPLES[suffix](), f"a{suffix}", each) for each in (limits, replace(limits, parsers=OFFICE))
        )
        assert replace(on, parsers=off.parsers) == off


def test_pixels_are_bounded_before_they_are_unpacked_in_a_pdf_too() -> None:
    pdf = FPDF()
    pdf.add_page()
    pdf.image(Image.new("1", (9_400, 9_400)), w=150)
    with pytest.raises(DocumentRefused, match=r"holds a picture with 9,400 by 9,400 pixels"):
        parse(bytes(pdf.output()), "bomb.pdf", ("word", 0.9))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP"])
def test_each_kind_of_picture_is_opened(kind: str) -> None:
    assert parse(saved(draw(), kind), f"a.{kind.lower()}", ("word", 0.9)).text == "word"


def test_a_long_scan_a_picture_bomb_and_a_broken_picture_are_refused_in_a_sentence() -> None:
    small = draw(size=(20, 20))
    scan = saved(small, "TIFF", save_all=True, append_images=[small] * 40)
    with pytest.raises(DocumentRefused, match=r"has 41 pages whose words .*, more than 30: .* Split it"):
        parse(scan, "scan.tiff", ("word", 0.9))
    for side in (9_500, 20_000):
        assert side * side > PIXELS
        with pytest.raises(
            DocumentRefused,
            match=rf"holds a picture with ({side:,} by {side:,}|{side * side:,}) pixels, more than 70,000,000",
        ):
            parse(saved(Image.new("1", (side, side))), "bomb.png", ("word", 0.9))
    with pytest.raises(DocumentRefused, match=r'"a\.gif" (has|is) no (readable )?picture'):
        parse(b"GIF89a and no more", "a.gif")
    with pytest.raises(
        DocumentRefused, match=r'"a\.png" is no picture in one of the formats BMP, .*\. Save it anew\.$'
    ):
        parse(b"no picture", "a.png")


def test_a_citation_finds_its_place_on_the_page_for_whoever_may_read_it(tmp_path: Path) -> None:
    with open_system(load(stack(tmp_path, extensions=["ocr", "office"]))) as system:
        parsed = parse(saved(draw()), "a.png", ("Total", 0.9), ("1,204", 0.9))
        system.retrieval.ingestor.preparation._parse = lambda *_: parsed
        source = Source("a.png", "north")
        assert system.retrieval.ingestor.ingest([Item(source, b"x", "a.png")]).added
        runtime: Any = SimpleNamespace(system=system)
        (box,) = routes.boxes(source.document_id, Principal("zoe", "north"), runtime, 6, 9).boxes
        assert box.model_dump() == {
            "start": 6,
            "end": 11,
            "page": 1,
            "left": 100,
            "top": 50,
            "right": 190,
            "bottom": 70,
        }
        with pytest.raises(NotFound):
            routes.boxes(source.document_id, Principal("ole", "south"), runtime, 6, 9)

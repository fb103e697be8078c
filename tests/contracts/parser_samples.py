"""One small document for each format that the parsers read, all saying the same, and the facts that must come out."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from functools import cache

from tests.services import convert

TITLE = "Returns at Quillfeather Outfitters"
SENTENCES = (
    "You can return a parcel within 30 days of delivery.",
    "Refunds reach your account after 5 working days.",
)
ROW = {"Item": "Boots", "Days": "30"}


def text() -> bytes:
    return f"{TITLE}\n{'=' * len(TITLE)}\n\n{SENTENCES[0]}\n\n{SENTENCES[1]}\n\nItem: Boots; Days: 30\n".encode()


def markdown() -> bytes:
    table = "| Item | Days |\n|---|---|\n| Boots | 30 |"
    return f"# {TITLE}\n\n{SENTENCES[0]}\n\n## Refunds\n\n{SENTENCES[1]}\n\n{table}\n".encode()


def html() -> bytes:
    table = "<table><tr><th>Item</th><th>Days</th></tr><tr><td>Boots</td><td>30</td></tr></table>"
    paragraphs = f"<p>{SENTENCES[0]}</p><h2>Refunds</h2><p>{SENTENCES[1]}</p>"
    return f"<html><body><main><h1>{TITLE}</h1>{paragraphs}{table}</main></body></html>".encode()


def csv() -> bytes:
    return f'Item,Days,Note\nBoots,30,"{SENTENCES[0]}"\nHats,14,"{SENTENCES[1]}"\n'.encode()


def tsv() -> bytes:
    return f"Item\tDays\tNote\nBoots\t30\t{SENTENCES[0]}\nHats\t14\t{SENTENCES[1]}\n".encode()


def json_object() -> bytes:
    return json.dumps({"title": TITLE, "notes": [{"text": sentence} for sentence in SENTENCES], "table": ROW}).encode()


def json_lines() -> bytes:
    return "\n".join(json.dumps(record) for record in ({"note": SENTENCES[0]}, {"note": SENTENCES[1]}, ROW)).encode()


def docx(end: str = "") -> bytes:
    from docx import Document

    document = Document()
    document.add_heading(TITLE, level=1)
    document.add_paragraph(SENTENCES[0])
    document.add_heading("Refunds", level=2)
    document.add_paragraph(SENTENCES[1])
    table = document.add_table(rows=0, cols=2)
    for cells in (tuple(ROW), tuple(ROW.values())):
        for cell, words in zip(table.add_row().cells, cells, strict=True):
            cell.text = words
    if end:
        document.add_paragraph(end)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def pdf(pages: int = 1, password: str | None = None) -> bytes:
    from fpdf import FPDF

    document = FPDF()
    for number in range(pages):
        document.add_page()
        document.set_font("Helvetica", style="B", size=20)
        document.multi_cell(0, 10, TITLE if not number else f"Part {number + 1}", new_x="LMARGIN", new_y="NEXT")
        document.set_font("Helvetica", size=11)
        for sentence in SENTENCES:
            document.multi_cell(0, 8, sentence, new_x="LMARGIN", new_y="NEXT")
            document.ln(8)
        with document.table() as table:
            for cells in (tuple(ROW), tuple(ROW.values())):
                row = table.row()
                for cell in cells:
                    row.cell(cell)
    if password:
        document.set_encryption(owner_password="owner", user_password=password)
    return bytes(document.output())


def xlsx() -> bytes:
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    sheet.title = "Returns"
    for row in ([TITLE], [], ["Item", "Days", "Note"], ["Boots", 30, SENTENCES[0]], ["Hats", 14, SENTENCES[1]]):
        sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def pptx() -> bytes:
    from pptx import Presentation
    from pptx.util import Inches

    show = Presentation()
    show.core_properties.title = TITLE
    first = show.slides.add_slide(show.slide_layouts[1])
    first.shapes.title.text = TITLE
    first.placeholders[1].text_frame.text = SENTENCES[0]
    second = show.slides.add_slide(show.slide_layouts[5])
    second.shapes.title.text = "Refunds"
    table = second.shapes.add_table(2, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
    for row, cells in enumerate((tuple(ROW), tuple(ROW.values()))):
        for column, words in enumerate(cells):
            table.cell(row, column).text = words
    second.notes_slide.notes_text_frame.text = SENTENCES[1]
    out = io.BytesIO()
    show.save(out)
    return out.getvalue()


def eml() -> bytes:
    head = "Subject: {}\nFrom: ada@example.com\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8"
    head += "\nContent-Transfer-Encoding: 8bit\n\n"
    return f"{head.format(TITLE)}{SENTENCES[0]}\n\n{SENTENCES[1]}\n\nItem: Boots; Days: 30\n".encode()


def rtf() -> bytes:
    paragraphs = "".join(f"{{\\pard {line}\\par}}\n" for line in (TITLE, *SENTENCES))
    rows = "".join(
        f"\\trowd\\cellx2000\\cellx4000 {name}\\cell {value}\\cell\\row\n"
        for name, value in (tuple(ROW), tuple(ROW.values()))
    )
    return f"{{\\rtf1\\ansi\\deff0{{\\fonttbl{{\\f0 Times;}}}}\n{paragraphs}{rows}}}".encode()


def opendocument(kind: str) -> Callable[[], bytes]:
    def write() -> bytes:
        from odfdo import Document, DrawPage, Frame, Header, Paragraph, Table

        document = Document(kind)
        body = document.body
        body.clear()
        table = Table("Returns", width=2, height=2)
        if kind == "spreadsheet":
            table = Table("Returns", width=3, height=3)
            table.set_values([["Item", "Days", "Note"], ["Boots", 30, SENTENCES[0]], ["Hats", 14, SENTENCES[1]]])
            body.append(table)
        elif kind == "presentation":
            for number, sentence in enumerate((f"{SENTENCES[0]} {ROW}", SENTENCES[1]), start=1):
                slide = DrawPage(f"slide{number}", name=f"slide{number}")
                slide.append(Frame.text_frame([sentence], size=("10cm", "5cm"), position=("1cm", "1cm")))
                body.append(slide)
        else:
            table.set_values([list(ROW), list(ROW.values())])
            for block in (
                Header(1, TITLE),
                Paragraph(SENTENCES[0]),
                Header(2, "Refunds"),
                Paragraph(SENTENCES[1]),
                table,
            ):
                body.append(block)
        out = io.BytesIO()
        document.save(out)
        return out.getvalue()

    return write


def epub() -> bytes:
    container = '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile full-path="book/book.opf"/></rootfiles></container>'
    item = '<item id="one" href="one.xhtml" media-type="application/xhtml+xml"/>'
    package = f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{item}</manifest><spine><itemref idref="one"/></spine></package>'
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as book:
        for name, content in (
            ("mimetype", b"application/epub+zip"),
            ("META-INF/container.xml", container.encode()),
            ("book/book.opf", package.encode()),
            ("book/one.xhtml", html()),
        ):
            book.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def msg() -> bytes:
    from aspose.email_foss.msg import MapiMessage

    message = MapiMessage.create(TITLE, "\n\n".join((*SENTENCES, "Item: Boots; Days: 30")))
    return bytes(message.to_bytes())


def xls() -> bytes:
    from xlwt import Workbook

    book = Workbook()
    sheet = book.add_sheet("Returns")
    for number, row in enumerate((["Item", "Days", "Note"], ["Boots", 30, SENTENCES[0]], ["Hats", 14, SENTENCES[1]])):
        for column, value in enumerate(row):
            sheet.write(number, column, value)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def by_libreoffice(made: Callable[[], bytes], suffix: str) -> Callable[[], bytes]:
    return cache(lambda: convert(made(), suffix))


def picture(kind: str) -> Callable[[], bytes]:
    def draw() -> bytes:
        from PIL import Image, ImageDraw, ImageFont

        drawn = Image.new("RGB", (900, 740), "white")
        for number, line in enumerate((TITLE, *SENTENCES, *(f"{name} {value}" for name, value in ROW.items()))):
            ImageDraw.Draw(drawn).text((30, 30 + 130 * number), line, fill="black", font=ImageFont.load_default(30))
        out = io.BytesIO()
        drawn.save(out, kind)
        return out.getvalue()

    return draw


SAMPLES = {
    ".txt": text,
    ".log": text,
    ".text": text,
    ".rst": text,
    ".md": markdown,
    ".markdown": markdown,
    ".html": html,
    ".htm": html,
    ".xhtml": html,
    ".csv": csv,
    ".tsv": tsv,
    ".json": json_object,
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".docx": docx,
    ".pdf": pdf,
    ".xlsx": xlsx,
    ".xlsm": xlsx,
    ".pptx": pptx,
    ".eml": eml,
    ".rtf": rtf,
    ".odt": opendocument("text"),
    ".ods": opendocument("spreadsheet"),
    ".odp": opendocument("presentation"),
    ".epub": epub,
    ".msg": msg,
    ".xls": xls,
    ".doc": by_libreoffice(lambda: docx("The end."), "doc"),  # without it LibreOffice loses the last table
    ".ppt": by_libreoffice(pptx, "ppt"),
    ".png": picture("PNG"),
    ".jpg": picture("JPEG"),
    ".jpeg": picture("JPEG"),
    ".tif": picture("TIFF"),
    ".tiff": picture("TIFF"),
    ".bmp": picture("BMP"),
    ".webp": picture("WEBP"),
    ".gif": picture("GIF"),
}
"""Suffix -> sample. A new parser adds its own, or its contract test says so."""

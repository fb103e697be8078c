"""Render the Markdown files in corpus_sources/ to the PDF and DOCX files of the corpus.

    python -m examples.support_desk.make_documents

The results are committed, so the demo does not need this script (nor fpdf2 and python-docx).
Rendering is deterministic: dates are taken from the source file. The one exception is the
encrypted PDF, whose salt is random; it is therefore written only when it is missing.

A source starts with a few `key: value` lines (`date`, and optionally `password` or `truncate`),
followed by a blank line and a small subset of Markdown: headings, paragraphs, `- ` and `1. `
lists, and pipe tables.
"""

import io
import re
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from docx import Document
from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import FontFace
from pypdf import PdfReader, PdfWriter

HERE = Path(__file__).parent
SOURCES = HERE / "corpus_sources"
CORPUS = HERE / "corpus"

Block = tuple[str, list[str]]
"""A kind (`h1`, `h2`, `p`, `ul`, `ol`, `table`) and its lines."""


def read_source(path: Path) -> tuple[dict[str, str], str]:
    """Split a source file into its header and its body."""
    head, body = path.read_text("utf-8").split("\n\n", 1)
    return dict(line.split(": ", 1) for line in head.splitlines()), body


def kind_of(line: str) -> str:
    """Name the kind of block to which a line belongs."""
    patterns = {"h1": r"# ", "h2": r"## ", "ul": r"- ", "ol": r"\d+\. ", "table": r"\|"}
    return next((kind for kind, pattern in patterns.items() if re.match(pattern, line)), "p")


def blocks(text: str) -> Iterator[Block]:
    """Yield the blocks of a text; blocks are separated by blank lines."""
    for chunk in re.split(r"\n\s*\n", text.strip()):
        lines = chunk.splitlines()
        kind = kind_of(lines[0])
        plain = [re.sub(r"^(#+|-|\d+\.)\s+", "", line).replace("**", "") for line in lines]
        yield kind, [" ".join(plain)] if kind == "p" else plain


def rows_of(lines: list[str]) -> list[list[str]]:
    """Split the lines of a pipe table into cells and drop the ruler."""
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    return [row for row in rows if not all(re.fullmatch(r":?-+:?", cell) for cell in row)]


class Page(FPDF):
    """A page of A5 size with a running footer."""

    def footer(self) -> None:
        """Print the page number."""
        self.set_y(-12)
        self.set_font("Helvetica", "I", 8)
        self.cell(0, 6, f"Quillmark Devices - page {self.page_no()}", align="C")


def to_pdf(text: str, date: datetime) -> bytes:
    """Render a text as PDF."""
    pdf = Page(format=(148, 210))
    pdf.set_creation_date(date)
    pdf.set_author("Quillmark Devices")
    pdf.set_margin(16)
    pdf.set_auto_page_break(True, margin=18)
    pdf.add_page()
    for kind, lines in blocks(text):
        if kind == "table":
            pdf.set_font("Helvetica", size=9)
            bold = FontFace(emphasis="BOLD", fill_color=(230, 230, 230))
            with pdf.table(headings_style=bold, line_height=5, text_align="LEFT") as table:
                for cells in rows_of(lines):
                    row = table.row()
                    for cell in cells:
                        row.cell(cell)
        else:
            size = {"h1": 18, "h2": 13}.get(kind, 10.5)
            pdf.set_font("Helvetica", "B" if kind in ("h1", "h2") else "", size)
            if kind == "h1":
                pdf.set_title(lines[0])
            for number, line in enumerate(lines, 1):
                mark = {"ul": "- ", "ol": f"{number}. "}.get(kind, "")
                pdf.multi_cell(0, size * 0.52, mark + line, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        pdf.ln(2.5)
    return bytes(pdf.output())


def to_docx(text: str, date: datetime) -> bytes:
    """Render a text as DOCX and give every entry of the container the same time."""
    document = Document()
    properties = document.core_properties
    properties.author, properties.created, properties.modified = "Quillmark Devices", date, date
    styles = {"h1": "Title", "h2": "Heading 1", "ul": "List Bullet", "ol": "List Number", "p": "Normal"}
    for kind, lines in blocks(text):
        if kind == "table":
            rows = rows_of(lines)
            table = document.add_table(len(rows), len(rows[0]), style="Table Grid")
            for row, cells in zip(table.rows, rows, strict=True):
                for cell, value in zip(row.cells, cells, strict=True):
                    cell.text = value
        else:
            for line in lines:
                document.add_paragraph(line, style=styles[kind])
        if kind == "h1":
            properties.title = lines[0]
    raw, fixed = io.BytesIO(), io.BytesIO()
    document.save(raw)
    with zipfile.ZipFile(raw) as source, zipfile.ZipFile(fixed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            entry = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, source.read(name))
    return fixed.getvalue()


def encrypt(pdf: bytes, password: str) -> bytes:
    """Encrypt a PDF with AES so that it cannot be opened without the password."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf)))
    writer.encrypt(password, algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def render(source: Path) -> None:
    """Render one source file to its place in the corpus."""
    target = CORPUS / source.relative_to(SOURCES).with_suffix("")
    head, body = read_source(source)
    if "password" in head and target.exists():
        return
    date = datetime.fromisoformat(head["date"]).replace(tzinfo=UTC)
    data = to_pdf(body, date) if target.suffix == ".pdf" else to_docx(body, date)
    if "password" in head:
        data = encrypt(data, head["password"])
    if "truncate" in head:
        data = data[: int(len(data) * float(head["truncate"]))]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def main() -> None:
    """Render every source file."""
    for source in sorted(SOURCES.rglob("*.md")):
        render(source)


if __name__ == "__main__":
    main()

"""Made-up tables as files of the kinds in which offices publish them: CSV, XLSX, HTML, DOCX and PDF."""

from __future__ import annotations

import csv
import html
import io
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

MADE = Path(__file__).parent / "tables" / "made.toml"


def write_tables(file: Path = MADE) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each file."""
    writers = {".csv": _csv, ".xlsx": _xlsx, ".html": _html, ".docx": _docx, ".pdf": _pdf}
    for described in tomllib.loads(file.read_text(encoding="utf-8"))["file"]:
        yield described["name"], writers[Path(described["name"]).suffix](described)


def _cells(rows: Sequence[str]) -> list[list[str]]:
    return [[cell.strip() for cell in row.split(" | ")] for row in rows]


def _csv(described: Mapping[str, Any]) -> bytes:
    file = io.StringIO()
    csv.writer(file).writerows(_cells([*described["heads"], *described["rows"]]))
    return file.getvalue().encode()


def _xlsx(described: Mapping[str, Any]) -> bytes:
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.active)
    for sheet in described["sheets"]:
        page = book.create_sheet(sheet["title"])
        page.append(_cells(sheet["heads"])[0])
        for row in _cells(sheet["rows"]):
            page.append([_typed(cell) for cell in row])
    return _saved(book)


def _typed(cell: str) -> int | float | str:
    """Return the cell as a spreadsheet has it."""
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell


def _html(described: Mapping[str, Any]) -> bytes:
    heads = "".join(f"<tr>{''.join(map(_head_of_html, head.split(' | ')))}</tr>" for head in described["heads"])
    rows = ("".join(f"<td>{html.escape(cell)}</td>" for cell in cells) for cells in _cells(described["rows"]))
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<html><body><h1>{described['title']}</h1><table>{heads}{body}</table></body></html>".encode()


def _head_of_html(cell: str) -> str:
    name, _, width = cell.partition(" < ")
    span = f' colspan="{int(width)}"' if width else ""
    return f"<th{span}>{html.escape(name.strip())}</th>"


def _docx(described: Mapping[str, Any]) -> bytes:
    from docx import Document

    word, rows = Document(), _cells([*described["heads"], *described["rows"]])
    word.add_heading(described["title"], 1)
    table = word.add_table(len(rows), len(rows[0]))
    for texts, row in zip(rows, table.rows, strict=True):
        for text, cell in zip(texts, row.cells, strict=True):
            cell.text = text
    return _saved(word)


def _pdf(described: Mapping[str, Any]) -> bytes:
    from fpdf import FPDF

    page = FPDF()
    page.add_page()
    page.set_font("helvetica", size=14)
    page.cell(text=described["title"], new_x="LMARGIN", new_y="NEXT")
    page.set_font(size=10)
    with page.table() as table:
        for cells in _cells([*described["heads"], *described["rows"]]):
            table.row(cells)
    return bytes(page.output())


def _saved(document: Any) -> bytes:
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()

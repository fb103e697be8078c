"""Tables of every format, also of those that office reads."""

from __future__ import annotations

import io

from docx import Document
from openpyxl import Workbook

from extensions import office
from extensions.tables.reading import read_sheets
from foundation.extensions import find_modules
from retrieval.documents import ParseLimits
from retrieval.ingest.parsing import parse_here
from retrieval.tables import row_codec

LIMITS = ParseLimits(parsers=find_modules("retrieval.parsers", [office.__name__.rpartition(".")[2]]))


def test_tables_of_every_format_keep_their_cells() -> None:
    rows = [["Item", "Price"], ["A; b: c", "9 EUR"], ["B", ""], ["C", "4 EUR"]]
    word, book = Document(), Workbook()
    table = word.add_table(len(rows), 2)
    for row, cells in zip(rows, table.rows, strict=True):
        for text, cell in zip(row, cells.cells, strict=True):
            cell.text = text
    for row in rows:
        book.active.append(row)
    files = {name: io.BytesIO() for name in ("a.docx", "a.xlsx")}
    word.save(files["a.docx"])
    book.save(files["a.xlsx"])
    html = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows[1:])
    contents = {name: file.getvalue() for name, file in files.items()} | {
        "a.html": f"<h1>Prices</h1><table><tr><th>Item</th><th>Price</th></tr>{html}</table>".encode(),
        "a.csv": "\n".join(";".join(f'"{cell}"' for cell in row) for row in rows).encode(),
        "a.md": b"| Item | Price |\n|---|---|\n| A; b: c | 9 EUR |\n| B | |\n| C | 4 EUR |\n",
    }
    for name, content in contents.items():
        parsed = parse_here(content, name, LIMITS)
        again = row_codec.read_parsed(parsed.text, row_codec.outline(parsed), parsed.parsers)
        assert again == parsed
        (sheet,) = read_sheets(again)
        assert sheet.names == ("Item", "Price"), name
        assert [row.cells for row in sheet.rows] == [("A; b: c", "9 EUR"), ("B", ""), ("C", "4 EUR")], name
        assert [row.start for row in sheet.rows] == [
            parsed.text.index(text) for text in ("Item: A;", "Item: B", "Item: C")
        ]

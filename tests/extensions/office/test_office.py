"""Workbooks and presentations: what is kept and left out, and what is refused before a library may open it."""

from __future__ import annotations

import datetime as dt
import io
import os
import re
import stat
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from foundation.errors import DocumentRefused
from foundation.extensions import find_modules
from retrieval.documents import Parsed, ParseLimits
from retrieval.ingest.parsing import parse_here
from tests.contracts import parser_samples

SHEET = "xl/worksheets/sheet1.xml"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
ENTITIES = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006"
RELATIONS = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"></Relationships>'
PACKAGES = {".docx": parser_samples.docx, ".xlsx": parser_samples.xlsx, ".pptx": parser_samples.pptx}
PARTS = {".docx": "word/document.xml", ".xlsx": SHEET, ".pptx": "ppt/slides/slide1.xml"}

PARSERS = find_modules("retrieval.parsers", ["office"])


def parse(content: bytes, name: str, limits: ParseLimits | None = None) -> Parsed:
    return parse_here(content, name, replace(limits or ParseLimits(), parsers=PARSERS))


def blocks(parsed: Parsed) -> list[tuple[str, str, int | None]]:
    return [(block.kind, parsed.text[block.start : block.end], block.page) for block in parsed.blocks]


def reason(content: bytes, name: str, limits: ParseLimits | None = None) -> str:
    with pytest.raises(DocumentRefused) as refused:
        parse(content, name, limits)
    return refused.value.reason


def saved(made: Any) -> bytes:
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def altered(package: bytes, members: Mapping[str, str | bytes]) -> bytes:
    """The package with these members in place of its own, or added."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        kept = {name: old.read(name) for name in old.namelist()}
        for name, content in (kept | dict(members)).items():
            new.writestr(name, content)
    return out.getvalue()


def sheet(rows: str) -> str:
    return f'<?xml version="1.0"?><worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData></worksheet>'


# xlsx


def workbook(fill: Callable[[Any], None]) -> bytes:
    from openpyxl import Workbook

    book = Workbook()
    fill(book)
    return saved(book)


def test_each_sheet_stands_under_its_name_and_counts_as_a_page() -> None:
    def fill(book: Any) -> None:
        book.active.title = "Plans"
        book.active.append(["Plan", "Seats", "Price"])
        book.active.append(["Basic", 1, 9.5])
        book.create_sheet("Empty")
        book.create_sheet("Terms").append(["Cancel by the end of a month."])

    parsed = parse(workbook(fill), "a.xlsx")

    assert parsed.pages == 3
    assert blocks(parsed) == [
        ("heading", "Plans", 1),
        ("row", "Plan: Basic; Seats: 1; Price: 9.5", 1),
        ("heading", "Terms", 3),
        ("paragraph", "Cancel by the end of a month.", 3),
    ]


def test_a_blank_row_ends_a_table_and_a_lone_cell_above_one_is_its_caption() -> None:
    def fill(book: Any) -> None:
        for row in (["Fees"], ["Plan", "Price", "Term"], ["Basic", 9, "month"], [], ["Hub", "City", "Code"]):
            book.active.append(row)
        book.active.append(["North", "Quill Harbour", 7])

    assert [text for kind, text, _ in blocks(parse(workbook(fill), "a.xlsx")) if kind != "heading"] == [
        "Fees",
        "Plan: Basic; Price: 9; Term: month",
        "Hub: North; City: Quill Harbour; Code: 7",
    ]


def test_dates_and_shares_read_as_the_sheet_shows_them() -> None:
    import datetime as dt

    def fill(book: Any) -> None:
        book.active.append(["From", "Share", "Open"])
        book.active.append([dt.datetime(2026, 3, 1), 0.125, True])  # noqa: DTZ001 - a sheet knows no zones
        book.active["B2"].number_format = "0.0%"

    assert "From: 2026-03-01; Share: 12.5 %; Open: TRUE" in parse(workbook(fill), "a.xlsx").text


@pytest.mark.parametrize(
    ("value", "told", "shown"),
    [
        (1, "0%", "100 %"),
        (1234.5, '#,##0.00 "EUR"', "1234.5 EUR"),
        (-7, "[$€-407] #,##0;[Red]-#,##0", "€ -7"),
        (-7, "#,##0;(#,##0)", "-7"),
        (-7, '"Profit "0;"Loss "0', "Loss 7"),
        (7, '"Profit "0;"Loss "0', "Profit 7"),
        (-7.5, '0.0" EUR";[Red](0.0)" EUR"', "-7.5 EUR"),
        (-7, '"US$"0;"(US$"0")"', "US$-7"),
        (-7, '#,##0;"△ "#,##0', "-7"),
        (-7, '[<100]"few "0;"many "0', "-7"),
        (12, '"Room 0 "0', "Room 0 12"),
        (12, '"INV-"0000', "INV-0012"),
        (12, "[$€-407]#,##0", "€ 12"),
        (12, r"#,##0.00\ _€", "12"),
        (12, "00.00", "12"),
        (7, "000-00", "7"),
        (5, '0"%"', "5 %"),
        (5, r"0\%", "5 %"),
        (5, "0_%", "5"),
        (12500000, '#,##0.0,,"M"', "12500000"),
        (500, '[>=1000000]0.0,,"M";[>=1000]0.0,"K";0', "500"),
        (0.5, "[Red][<0.6]0%;0.0%", "50 %"),
        (5, "[<1]0%;0", "5"),
        (3, "$#,##0", "$3"),
        (42, "00000", "00042"),
        (42.25, "[$-409]0.00", "42.25"),
        (dt.timedelta(hours=30, minutes=5), "[h]:mm", "30:05"),
        (dt.timedelta(minutes=-30), "[h]:mm", "-0:30"),
    ],
)
def test_numbers_keep_what_their_format_says_of_their_meaning(value: Any, told: str, shown: str) -> None:
    def fill(book: Any) -> None:
        book.active["A1"], book.active["B1"] = "x", value
        book.active["B1"].number_format = told

    assert blocks(parse(workbook(fill), "a.xlsx"))[-1][1] == f"x | {shown}"


def test_a_rule_or_name_that_the_library_does_not_know_does_not_cost_the_workbook() -> None:
    made = parser_samples.xlsx()
    package = zipfile.ZipFile(io.BytesIO(made))
    rule = b'</sheetData><conditionalFormatting sqref="A1"><cfRule type="cellIs" priority="yes" operator="odd"/>'
    members = {
        SHEET: package.read(SHEET).replace(b"</sheetData>", rule + b"</conditionalFormatting>", 1),
        "xl/styles.xml": package.read("xl/styles.xml").replace(b"<cellStyle ", b'<cellStyle odd="1" ', 1),
    }

    assert parse(altered(made, members), "a.xlsx") == parse(made, "a.xlsx")


def test_the_words_in_a_shape_on_a_sheet_are_read() -> None:
    drawing = "http://schemas.openxmlformats.org/drawingml/2006"
    shape = "<a:sp><a:txBody><a:p><a:r><a:t>Fill in the </a:t></a:r><a:r><a:t>white cells.</a:t></a:r></a:p></a:txBody></a:sp>"
    link = f'<Relationship Id="rId1" Type="{OFFICE}/relationships/drawing" Target="../drawings/drawing1.xml"/>'
    members = {
        "xl/drawings/drawing1.xml": f'<wsDr xmlns:a="{drawing}/main"><a:anchor>{shape}</a:anchor></wsDr>',
        "xl/worksheets/_rels/sheet1.xml.rels": RELATIONS.replace("</Rel", f"{link}</Rel"),
    }

    assert ("paragraph", "Fill in the white cells.", 1) in blocks(
        parse(altered(parser_samples.xlsx(), members), "a.xlsx")
    )


def test_a_share_that_is_larger_than_any_number_is_refused() -> None:
    def fill(book: Any) -> None:
        book.active["A1"] = 1
        book.active["A1"].number_format = "0%"

    made = workbook(fill)
    cells = zipfile.ZipFile(io.BytesIO(made)).read(SHEET).replace(b"<v>1</v>", b"<v>" + b"9" * 400 + b"</v>")

    assert reason(altered(made, {SHEET: cells}), "a.xlsx") == "malformed"


def test_a_hidden_sheet_is_not_read() -> None:
    def fill(book: Any) -> None:
        book.active.append(["Seen."])
        hidden = book.create_sheet("Secret")
        hidden.append(["Unseen."])
        hidden.sheet_state = "hidden"

    assert "Unseen" not in parse(workbook(fill), "a.xlsx").text


def test_hidden_rows_columns_values_and_shapes_are_not_read() -> None:
    def fill(book: Any) -> None:
        for line in (
            ["Plan", "Cost", "Price"],
            ["Basic", "secret 1", 9],
            ["Old", "secret 2", "secret 3"],
            ["Team", 7, 19],
        ):
            book.active.append(line)
        book.active["D4"] = "secret 4"
        book.active["D4"].number_format = ";;;"
        book.active.column_dimensions["B"].hidden = True
        book.active.row_dimensions[3].hidden = True

    drawing = "http://schemas.openxmlformats.org/drawingml/2006"
    body = "<a:txBody><a:p><a:r><a:t>secret 5</a:t></a:r></a:p></a:txBody>"
    shape = f'<a:grp><a:nv><a:cNvPr hidden="1"/></a:nv><a:sp>{body}</a:sp></a:grp>'
    link = f'<Relationship Id="rId1" Type="{OFFICE}/relationships/drawing" Target="../drawings/drawing1.xml"/>'
    members = {
        "xl/drawings/drawing1.xml": f'<wsDr xmlns:a="{drawing}/main"><a:anchor>{shape}</a:anchor></wsDr>',
        "xl/worksheets/_rels/sheet1.xml.rels": RELATIONS.replace("</Rel", f"{link}</Rel"),
    }

    assert [text for _, text, _ in blocks(parse(altered(workbook(fill), members), "a.xlsx"))] == [
        "Sheet", "Plan: Basic; Price: 9", "Plan: Team; Price: 19",
    ]  # fmt: skip


def test_rows_that_are_folded_or_filtered_away_are_read() -> None:
    def fill(book: Any) -> None:
        from openpyxl.worksheet.table import Table

        for number in range(1, 8):
            book.active.append([f"row {number}"])
        for number in (2, 4, 6, 7):
            book.active.row_dimensions[number].hidden = True
        book.active.row_dimensions[2].outlineLevel = 1
        book.active.auto_filter.ref = "A3:A4"
        book.active.auto_filter.add_filter_column(0, ["row 3"])
        table = Table(displayName="Other", ref="A5:A6")
        table._initialise_columns()
        table.autoFilter.add_filter_column(0, ["x"])
        book.active.add_table(table)

    assert "row 7" not in parse(workbook(fill), "a.xlsx").text
    assert parse(workbook(fill), "a.xlsx").text.count("row") == 6


def test_a_sheet_that_ends_often_costs_no_time_by_the_square_of_that() -> None:
    def cost(ends: int) -> float:
        marks = f"<!-- {'</sheetData>' * ends} --></worksheet >"
        members = {SHEET: sheet('<row r="odd"/>').replace("</worksheet>", marks)}
        content = altered(parser_samples.xlsx(), members)
        started = time.process_time()
        assert reason(content, "a.xlsx") == "malformed"
        return time.process_time() - started

    assert cost(20_000) < 8 * cost(5_000)


def test_a_lone_cell_in_the_last_row_and_column_is_read() -> None:
    far = altered(parser_samples.xlsx(), {SHEET: sheet('<row r="90000"><c r="XFD90000"><v>41</v></c></row>')})

    assert blocks(parse(far, "a.xlsx"))[-1] == ("paragraph", "41", 1)


def test_a_sheet_of_more_rows_than_allowed_is_refused() -> None:
    many = sheet("".join(f'<row r="{n}"><c r="A{n}"><v>{n}</v></c></row>' for n in range(1, 2001)))
    content = altered(parser_samples.xlsx(), {SHEET: many})

    assert reason(content, "a.xlsx", ParseLimits(blocks=1000)) == "too_large"


def test_too_many_sheets_are_refused() -> None:
    def fill(book: Any) -> None:
        for number in range(3):
            book.create_sheet(f"Sheet {number}").append([number])

    assert reason(workbook(fill), "a.xlsx", ParseLimits(pages=2)) == "too_many_pages"


# pptx


def test_slides_keep_titles_items_tables_and_notes_and_know_their_number() -> None:
    parsed = parse(parser_samples.pptx(), "a.pptx")

    assert (parsed.pages, parsed.title) == (2, parser_samples.TITLE)
    assert blocks(parsed) == [
        ("heading", parser_samples.TITLE, 1),
        ("item", parser_samples.SENTENCES[0], 1),
        ("heading", "Refunds", 2),
        ("row", "Item: Boots; Days: 30", 2),
        ("paragraph", parser_samples.SENTENCES[1], 2),
    ]


def test_a_hidden_slide_is_not_read_and_the_others_keep_their_numbers() -> None:
    from pptx import Presentation

    show = Presentation(io.BytesIO(parser_samples.pptx()))
    show.slides[0].element.set("show", "0")

    assert {page for _, _, page in blocks(parse(saved(show), "a.pptx"))} == {2}


def test_grouped_shapes_charts_and_pictures_described_in_words_are_read() -> None:
    from pptx import Presentation
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE
    from pptx.util import Inches

    show = Presentation()
    shapes = show.slides.add_slide(show.slide_layouts[6]).shapes
    inner = shapes.add_group_shape().shapes.add_group_shape().shapes
    inner.add_textbox(0, 0, Inches(1), Inches(1)).text_frame.text = "Deep inside."
    data = CategoryChartData()
    data.categories = ["North", "South"]
    data.add_series("Parcels", (12, 7.5))
    shapes.add_chart(XL_CHART_TYPE.BAR_CLUSTERED, 0, Inches(2), Inches(3), Inches(3), data)
    picture = shapes.add_picture(io.BytesIO(_pixel()), 0, Inches(6))
    picture._element.nvPicPr.cNvPr.set("descr", "A depot at night")
    text = parse(saved(show), "a.pptx").text

    assert "Deep inside." in text
    assert "North; Parcels: 12\nSouth; Parcels: 7.5" in text
    assert "A depot at night" in text


def test_a_chart_in_three_dimensions_is_read_as_any_other() -> None:
    made = _with_chart()
    chart = next(name for name in zipfile.ZipFile(io.BytesIO(made)).namelist() if name.startswith("ppt/charts/chart"))
    xml = zipfile.ZipFile(io.BytesIO(made)).read(chart)

    text = parse(altered(made, {chart: xml.replace(b"c:barChart>", b"c:bar3DChart>")}), "a.pptx").text

    assert "North; Parcels: 12\nSouth; Parcels: 7.5" in text


def test_names_in_a_chart_are_no_numbers_and_its_numbers_keep_their_digits() -> None:
    text = parse(
        _with_chart({"01067": 12345678901, "4006381333931": 0.1 + 0.2, "Infinity": 5}, "007", '0"%"'), "a.pptx"
    ).text

    assert "01067; 007: 12345678901\n4006381333931; 007: 0.3\nInfinity; 007: 5" in text


def _with_chart(
    points: Mapping[str, float] = {"North": 12, "South": 7.5}, series: str = "Parcels", told: str = "General"
) -> bytes:
    from pptx import Presentation
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE
    from pptx.util import Inches

    show = Presentation()
    shapes = show.slides.add_slide(show.slide_layouts[6]).shapes
    data = CategoryChartData(number_format=told)
    data.categories = list(points)
    data.add_series(series, list(points.values()))
    shapes.add_chart(XL_CHART_TYPE.BAR_CLUSTERED, 0, Inches(2), Inches(3), Inches(3), data)
    return saved(show)


def test_a_hidden_shape_on_a_slide_is_not_read() -> None:
    from pptx import Presentation

    show = Presentation()
    shapes = show.slides.add_slide(show.slide_layouts[6]).shapes
    for words in ("Seen.", "Unseen."):
        shapes.add_textbox(0, 0, 9, 9).text_frame.text = words
    shapes[1]._element.nvSpPr.cNvPr.set("hidden", "1")

    assert parse(saved(show), "a.pptx").text == "Seen."


def test_a_diagram_is_read_from_its_root_down() -> None:
    from pptx import Presentation
    from pptx.opc.package import Part
    from pptx.opc.packuri import PackURI
    from pptx.oxml import parse_xml

    def point(name: str, words: str, kind: str = "node") -> str:
        return (
            f'<dgm:pt modelId="{name}" type="{kind}"><dgm:t><a:p><a:r><a:t>{words}</a:t></a:r></a:p></dgm:t></dgm:pt>'
        )

    drawing = "http://schemas.openxmlformats.org/drawingml/2006"
    links = [("0", "1", 1), ("0", "2", 0), ("2", "3", 0), ("3", "2", 0)]  # the last one leads back
    data = (
        f'<dgm:dataModel xmlns:dgm="{drawing}/diagram" xmlns:a="{drawing}/main"><dgm:ptLst>'
        + point("0", "", "doc")
        + point("1", "Deliver")
        + point("2", "Pack")
        + point("3", "Weigh")
        + "</dgm:ptLst><dgm:cxnLst>"
        + "".join(f'<dgm:cxn srcId="{above}" destId="{below}" srcOrd="{place}"/>' for above, below, place in links)
        + "</dgm:cxnLst></dgm:dataModel>"
    )
    show = Presentation()
    slide = show.slides.add_slide(show.slide_layouts[6])
    part = Part(PackURI("/ppt/diagrams/data1.xml"), "application/xml", show.part.package, data.encode())
    relation = slide.part.relate_to(
        part, "http://schemas.openxmlformats.org/officeDocument/2006/relationships/diagramData"
    )
    slide.shapes._spTree.append(parse_xml(
        '<p:graphicFrame xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
        f'xmlns:a="{drawing}/main" xmlns:dgm="{drawing}/diagram" '
        'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><p:nvGraphicFramePr>'
        '<p:cNvPr id="9" name="x"/><p:cNvGraphicFramePr/><p:nvPr/></p:nvGraphicFramePr><p:xfrm><a:off x="0" y="0"/>'
        f'<a:ext cx="1" cy="1"/></p:xfrm><a:graphic><a:graphicData uri="{drawing}/diagram"><dgm:relIds r:dm="{relation}"/>'
        "</a:graphicData></a:graphic></p:graphicFrame>"
    ))  # fmt: skip

    assert blocks(parse(saved(show), "a.pptx")) == [("item", words, 1) for words in ("Pack", "Weigh", "Deliver")]


def test_a_picture_in_the_place_of_the_title_costs_nothing_and_what_every_slide_repeats_is_left_out() -> None:
    from pptx import Presentation
    from pptx.oxml import parse_xml
    from pptx.util import Inches

    space = "http://schemas.openxmlformats.org/presentationml/2006/main"
    show = Presentation()
    shapes = show.slides.add_slide(show.slide_layouts[6]).shapes
    picture = shapes.add_picture(io.BytesIO(_pixel()), 0, 0)
    picture._element.nvPicPr.find("{*}nvPr").append(parse_xml(f'<p:ph xmlns:p="{space}" type="title"/>'))
    for place, words in (("sldNum", "17"), ("ftr", "For internal use"), (None, "Kept.")):
        shape = shapes.add_textbox(0, Inches(2), Inches(1), Inches(1))
        shape.text_frame.text = words
        if place:
            shape._element.nvSpPr.find("{*}nvPr").append(parse_xml(f'<p:ph xmlns:p="{space}" type="{place}" idx="9"/>'))

    assert blocks(parse(saved(show), "a.pptx")) == [("paragraph", "Kept.", 1)]


def test_what_stands_in_a_choice_between_two_forms_is_read_once() -> None:
    from pptx import Presentation
    from pptx.util import Inches

    show = Presentation()
    shapes = show.slides.add_slide(show.slide_layouts[6]).shapes
    for words in ("New form", "Old form"):
        shapes.add_textbox(0, 0, Inches(1), Inches(1)).text_frame.text = words
    made = saved(show)
    slide = zipfile.ZipFile(io.BytesIO(made)).read(PARTS[".pptx"]).decode()
    new, old = re.findall("<p:sp>.*?</p:sp>", slide, re.DOTALL)
    space = "http://schemas.openxmlformats.org/markup-compatibility/2006"
    either = (
        f'<mc:AlternateContent xmlns:mc="{space}"><mc:Choice Requires="a14">{new}</mc:Choice>'
        f"<mc:Fallback>{old}</mc:Fallback></mc:AlternateContent>"
    )

    assert parse(altered(made, {PARTS[".pptx"]: slide.replace(new + old, either)}), "a.pptx").text == "New form"


def test_boxes_in_a_row_are_read_from_left_to_right_though_one_hangs_a_little_lower() -> None:
    from pptx import Presentation
    from pptx.util import Inches

    show = Presentation()
    shapes = show.slides.add_slide(show.slide_layouts[6]).shapes
    for words, left, top in (("second", 3, 1), ("first", 1, 1.1), ("third", 1, 2)):
        shapes.add_textbox(Inches(left), Inches(top), Inches(1), Inches(0.5)).text_frame.text = words

    assert [words for _, words, _ in blocks(parse(saved(show), "a.pptx"))] == ["first", "second", "third"]


def _pixel() -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (1, 1)).save(out, "PNG")
    return out.getvalue()


# packages


@pytest.mark.parametrize("suffix", PARTS)
@pytest.mark.parametrize("name", ["../../outside.xml", "/etc/outside", "word\\..\\..\\outside"])
def test_a_package_whose_member_leads_out_of_it_is_refused(suffix: str, name: str) -> None:
    content = altered(parser_samples.SAMPLES[suffix](), {name: "x"})

    assert reason(content, f"a{suffix}") == "unsafe"


@pytest.mark.parametrize("suffix", PARTS)
def test_a_package_that_holds_a_symbolic_link_is_refused(suffix: str) -> None:
    out = io.BytesIO(parser_samples.SAMPLES[suffix]())
    link = zipfile.ZipInfo("word/link.xml")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(out, "a") as package:
        package.writestr(link, "/etc/passwd")

    assert reason(out.getvalue(), f"a{suffix}") == "unsafe"


@pytest.mark.parametrize("suffix", PARTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_package_that_declares_entities_is_refused(suffix: str, encoding: str) -> None:
    part = f'<?xml version="1.0" encoding="{encoding}"?>{ENTITIES}<x>&b;</x>'.encode(encoding)

    assert reason(altered(parser_samples.SAMPLES[suffix](), {PARTS[suffix]: part}), f"a{suffix}") == "bomb"


@pytest.mark.parametrize("suffix", PARTS)
def test_a_package_that_unpacks_to_a_multiple_of_itself_is_refused(suffix: str) -> None:
    content = altered(parser_samples.SAMPLES[suffix](), {"media/nothing.bin": bytes(40_000_000)})

    assert reason(content, f"a{suffix}") == "bomb"


def test_a_package_of_very_many_members_is_refused() -> None:
    many = {f"media/{n}": os.urandom(8) for n in range(10_001)}

    assert reason(altered(parser_samples.xlsx(), many), "a.xlsx") == "bomb"


@pytest.mark.parametrize("suffix", PARTS)
def test_encrypted_and_old_office_files_are_told_apart(suffix: str) -> None:
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100)

    assert reason(ole + "EncryptedPackage".encode("utf-16-le"), f"a{suffix}") == "encrypted"
    assert reason(ole, f"a{suffix}") == "malformed"


@pytest.mark.parametrize("suffix", PARTS)
def test_a_package_of_another_kind_is_malformed(suffix: str) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as package:
        package.writestr("hello.txt", "hello")

    assert reason(out.getvalue(), f"a{suffix}") == "malformed"


W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def test_a_word_document_shows_its_footnotes_and_not_what_is_hidden_or_was_moved_away() -> None:
    from docx import Document

    made = Document()
    made.add_paragraph("")
    package = saved(made)
    with zipfile.ZipFile(io.BytesIO(package)) as opened:
        types = opened.read("[Content_Types].xml").decode()
        relations = opened.read("word/_rels/document.xml.rels").decode()
    body = (
        "<w:p><w:r><w:t>It runs nine hours.</w:t></w:r><w:r><w:footnoteReference w:id='2'/></w:r>"
        "<w:r><w:rPr><w:vanish/></w:rPr><w:t>Hidden.</w:t></w:r><w:r><w:rPr><w:vanish w:val='0'/></w:rPr><w:t> Shown.</w:t></w:r>"
        "<w:moveFrom w:id='1'><w:r><w:t>Moved away.</w:t></w:r></w:moveFrom><w:moveTo w:id='3'><w:r><w:t> Moved.</w:t></w:r></w:moveTo></w:p>"
    )
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.footnotes+xml"
    link = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
    members = {
        "word/document.xml": f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>',
        "word/footnotes.xml": f'<w:footnotes xmlns:w="{W}"><w:footnote w:id="2"><w:p><w:r><w:t>Only when new.</w:t></w:r></w:p>'
        "</w:footnote></w:footnotes>",
        "[Content_Types].xml": types.replace(
            "</Types>", f'<Override PartName="/word/footnotes.xml" ContentType="{kind}"/></Types>'
        ),
        "word/_rels/document.xml.rels": relations.replace(
            "</Relationships>", f'<Relationship Id="rId99" Type="{link}" Target="footnotes.xml"/></Relationships>'
        ),
    }

    parsed = parse(altered(package, members), "lamp.docx")

    assert parsed.text == "It runs nine hours. Shown. Moved.\n\nOnly when new."


def word(body: str, styles: str = "") -> bytes:
    """A document of this XML, in which the prefixes w and m are known."""
    from docx import Document

    made = saved(Document())
    package = zipfile.ZipFile(io.BytesIO(made))
    document = re.sub(
        r"<w:body>.*?<w:sectPr", f"<w:body>{body}<w:sectPr", package.read("word/document.xml").decode(), flags=re.DOTALL
    )
    math = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
    document = document.replace("<w:document ", f"<w:document {'' if 'xmlns:m=' in document else math} ", 1)
    style = package.read("word/styles.xml").decode().replace("</w:styles>", f"{styles}</w:styles>")
    return altered(made, {"word/document.xml": document, "word/styles.xml": style})


def line(words: str, properties: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{words}</w:t></w:r></w:p>"


def cell(words: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{line(words)}</w:tc>"


def row(*cells: str, properties: str = "") -> str:
    return f"<w:tr><w:trPr>{properties}</w:trPr>{''.join(cells)}</w:tr>"


def control(inner: str) -> str:
    return f"<w:sdt><w:sdtContent>{inner}</w:sdtContent></w:sdt>"


def test_rows_and_cells_in_content_controls_are_read() -> None:
    rows = control(row(cell("Depot"), control(cell("Harbour")))) + row(control(cell("Since")), cell("June"))

    assert parse(word(f"<w:tbl>{rows}</w:tbl>"), "a.docx").text == "Depot | Harbour\nSince | June"


def test_merged_cells_stay_under_their_column_and_stand_in_each_row_that_they_reach() -> None:
    two, down, on = '<w:gridSpan w:val="2"/>', '<w:vMerge w:val="restart"/>', "<w:vMerge/>"
    head = "<w:tblHeader/>"
    table = (
        row(cell("Region", down), cell("Parcels", two), cell("Note"), properties=head)
        + row(cell("", on), cell("in"), cell("out"), cell(""), properties=head)
        + row(cell("North", down), cell("4"), cell("5"), cell("full"))
        + row(cell("", on), cell("none yet", two), cell("new"))
    )

    assert parse(word(f"<w:tbl>{table}</w:tbl>"), "a.docx").text == (
        "Region: North; Parcels in: 4; Parcels out: 5; Note: full\nRegion: North; Parcels in: none yet; Note: new"
    )


def test_a_number_of_columns_of_thousands_of_digits_does_not_cost_the_document() -> None:
    table = row(cell("Depot", f'<w:gridSpan w:val="{"9" * 5000}"/>'), cell("Harbour"))

    assert parse(word(f"<w:tbl>{table}</w:tbl>"), "a.docx").text == "Depot | Harbour"


def test_a_table_that_only_frames_its_content_leaves_it_as_it_is() -> None:
    inner = (
        f"<w:tbl>{row(cell('Plan'), cell('Price'), cell('Seats'))}{row(cell('Basic'), cell('9'), cell('3'))}</w:tbl>"
    )
    title = line("Terms", '<w:pStyle w:val="Heading1"/>')
    framed = f"<w:tbl><w:tr><w:tc>{title}{line('Two weeks.')}{inner}<w:p/></w:tc></w:tr></w:tbl>"

    assert [(kind, words) for kind, words, _ in blocks(parse(word(framed), "a.docx"))] == [
        ("heading", "Terms"),
        ("paragraph", "Two weeks."),
        ("row", "Plan: Basic; Price: 9; Seats: 3"),
    ]


def test_a_style_is_what_it_is_based_on_or_what_its_outline_level_says() -> None:
    styles = (
        '<w:style w:type="paragraph" w:styleId="Roof"><w:name w:val="Roof"/><w:basedOn w:val="Attic"/></w:style>'
        '<w:style w:type="paragraph" w:styleId="Attic"><w:name w:val="Attic"/><w:basedOn w:val="House"/></w:style>'
        '<w:style w:type="paragraph" w:styleId="Loft"><w:name w:val="Loft"/><w:basedOn w:val="Attic"/></w:style>'
        '<w:style w:type="paragraph" w:styleId="House"><w:name w:val="House title"/><w:basedOn w:val="Heading2"/></w:style>'
        '<w:style w:styleId="Third"><w:name w:val="Third"/><w:pPr><w:outlineLvl w:val="2"/></w:pPr></w:style>'
        '<w:style w:type="paragraph" w:styleId="A"><w:name w:val="A"/><w:basedOn w:val="B"/></w:style>'
        '<w:style w:type="paragraph" w:styleId="B"><w:name w:val="B"/><w:basedOn w:val="A"/></w:style>'
        '<w:style w:type="paragraph" w:styleId="Dots"><w:name w:val="Dots"/><w:basedOn w:val="ListBullet"/></w:style>'
    )
    body = "".join(
        line(name, f'<w:pStyle w:val="{name}"/>') for name in ("House", "Third", "A", "Dots", "Roof", "Loft")
    )
    parsed = parse(word(body, styles), "a.docx")

    assert [(block.kind, block.level) for block in parsed.blocks] == [
        ("heading", 2), ("heading", 3), ("paragraph", 0), ("item", 0), ("heading", 2), ("heading", 2),
    ]  # fmt: skip


def numbered(body: str, rules: str, styles: str = "") -> bytes:
    return altered(word(body, styles), {"word/numbering.xml": f'<w:numbering xmlns:w="{W}">{rules}</w:numbering>'})


def level(at: int, kind: str, text: str, more: str = "") -> str:
    told = f'<w:start w:val="1"/><w:numFmt w:val="{kind}"/>{more}<w:lvlText w:val="{text}"/>'
    return f'<w:lvl w:ilvl="{at}">{told}</w:lvl>'


def item(words: str, at: int, name: int = 1) -> str:
    return line(words, f'<w:numPr><w:ilvl w:val="{at}"/><w:numId w:val="{name}"/></w:numPr>')


def rules(name: int, *levels: str, lists: Mapping[int, str]) -> str:
    abstract = f'<w:abstractNum w:abstractNumId="{name}">{"".join(levels)}</w:abstractNum>'
    return abstract + "".join(
        f'<w:num w:numId="{one}"><w:abstractNumId w:val="{name}"/>{change}</w:num>' for one, change in lists.items()
    )


def test_headings_have_the_numbers_that_word_counts_by_their_styles() -> None:
    legal = rules(
        1,
        level(0, "upperRoman", "%1.", '<w:pStyle w:val="Heading1"/>'),
        level(1, "decimal", "%1.%2", '<w:pStyle w:val="Sub"/><w:isLgl/>'),
        level(2, "lowerLetter", "(%3)"),
        lists={4: ""},
    )
    styles = (
        '<w:style w:type="paragraph" w:styleId="Sub"><w:name w:val="Sub"/><w:basedOn w:val="Heading2"/><w:pPr><w:numPr>'
        '<w:numId w:val="4"/></w:numPr></w:pPr></w:style>'
        '<w:style w:type="paragraph" w:styleId="Own"><w:name w:val="Own"/><w:basedOn w:val="Sub"/></w:style>'
    )
    first = '<w:pStyle w:val="Heading1"/><w:numPr><w:numId w:val="4"/></w:numPr>'
    second = '<w:pStyle w:val="Own"/>'
    body = (
        line("Scope", first) + line("Terms", first) + line("Price", second) + item("net", 2, 4) + item("gross", 2, 4)
        + line("Warranty", second) + item("parts", 2, 4) + line("Preamble", f'{second}<w:numPr><w:numId w:val="0"/></w:numPr>')
    )  # fmt: skip

    assert [(kind, words) for kind, words, _ in blocks(parse(numbered(body, legal, styles), "a.docx"))] == [
        ("heading", "I. Scope"),
        ("heading", "II. Terms"),
        ("heading", "2.1 Price"),
        ("item", "(a) net"),
        ("item", "(b) gross"),
        ("heading", "2.2 Warranty"),
        ("item", "(a) parts"),
        ("heading", "Preamble"),
    ]


def test_lists_of_the_same_rules_go_on_unless_one_begins_anew() -> None:
    anew = '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="5"/></w:lvlOverride>'
    kinds = rules(1, level(0, "decimal", "%1)"), lists={1: "", 2: "", 3: anew})
    body = (
        item("a", 0)
        + line("Between.")
        + item("b", 0, 2)
        + item("c", 0, 3)
        + item("d", 0, 3)
        + item("", 0)
        + item("e", 0)
    )

    assert [words for _, words, _ in blocks(parse(numbered(body, kinds), "a.docx"))] == [
        "1) a", "Between.", "2) b", "5) c", "6) d", "8) e",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "text", "start", "shown"),
    [
        ("lowerLetter", "%1.", 28, "bb. x"),
        ("lowerRoman", "%1.", 1994, "mcmxciv. x"),
        ("decimalZero", "%1", 7, "07 x"),
        ("none", "Note:", 1, "Note: x"),
        ("bullet", "-", 1, "x"),
        ("cardinalText", "%1", 3, "x"),
        ("decimal", "%1.%2", 3, "3. x"),
        ("decimal", "%1" * 1000, 3, "x"),
        ("upperRoman", "%1", "9" * 5000, "x"),
    ],
)
def test_a_number_is_written_as_its_list_says_and_left_out_where_that_is_not_known(
    kind: str, text: str, start: int | str, shown: str
) -> None:
    one = level(0, kind, text).replace('w:start w:val="1"', f'w:start w:val="{start}"')

    assert parse(numbered(item("x", 0), rules(1, one, lists={1: ""})), "a.docx").text == shown


def test_rows_that_word_numbers_keep_their_numbers() -> None:
    head = row(cell("No"), cell("Depot"), properties="<w:tblHeader/>")
    rest = "".join(row(f"<w:tc>{item('', 0)}</w:tc>", cell(name)) for name in ("Harbour", "Mill"))
    kinds = rules(1, level(0, "decimal", "%1"), lists={1: ""})

    assert parse(numbered(f"<w:tbl>{head}{rest}</w:tbl>", kinds), "a.docx").text == (
        "No: 1; Depot: Harbour\nNo: 2; Depot: Mill"
    )


def test_a_chart_in_a_table_or_a_text_box_of_a_word_document_is_read_once() -> None:
    drawing = "http://schemas.openxmlformats.org/drawingml/2006"
    chart = (
        f'<w:drawing><a:graphic xmlns:a="{drawing}/main"><a:graphicData uri="{drawing}/chart"><c:chart '
        f'xmlns:c="{drawing}/chart" xmlns:r="{OFFICE}/relationships" r:id="rId99"/></a:graphicData></a:graphic></w:drawing>'
    )
    inner = f"<w:txbxContent><w:p><w:r>{chart}</w:r></w:p></w:txbxContent>"
    box = (
        '<mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"><mc:Choice Requires="wps">'
        f'<w:drawing><a:graphic xmlns:a="{drawing}/main"><a:graphicData uri="x">{inner}</a:graphicData></a:graphic></w:drawing>'
        f"</mc:Choice><mc:Fallback><w:pict>{inner}</w:pict></mc:Fallback></mc:AlternateContent>"
    )
    data = (
        f'<c:chartSpace xmlns:c="{drawing}/chart"><c:chart><c:plotArea><c:barChart><c:ser><c:tx><c:v>Parcels</c:v></c:tx><c:cat>'
        "<c:strLit><c:pt idx='0'><c:v>North</c:v></c:pt></c:strLit></c:cat><c:val><c:numLit><c:pt idx='0'><c:v>12</c:v></c:pt>"
        "</c:numLit></c:val></c:ser></c:barChart></c:plotArea></c:chart></c:chartSpace>"
    )
    for body in (
        f"<w:p><w:r>{box}</w:r></w:p>",
        f"<w:tbl>{row(cell('Depots'), f'<w:tc><w:p><w:r>{chart}</w:r></w:p></w:tc>')}</w:tbl>",
    ):
        made = word(body)
        relations = zipfile.ZipFile(io.BytesIO(made)).read("word/_rels/document.xml.rels").decode()
        link = (
            f'<Relationship Id="rId99" Type="{OFFICE}/relationships/chart" Target="charts/chart1.xml"/></Relationships>'
        )
        members = {
            "word/_rels/document.xml.rels": relations.replace("</Relationships>", link),
            "word/charts/chart1.xml": data,
        }

        assert parse(altered(made, members), "a.docx").text.removeprefix("Depots\n") == "North; Parcels: 12"


def test_formulas_are_read_and_how_characters_are_pronounced_is_not() -> None:
    body = (
        "<w:p><w:r><w:t>Here </w:t></w:r><m:oMath><m:r><m:t>m=1</m:t></m:r></m:oMath><w:r><w:ruby><w:rt><w:r><w:t>kimon"
        "</w:t></w:r></w:rt><w:rubyBase><w:r><w:t>鬼門</w:t></w:r></w:rubyBase></w:ruby><w:t>re</w:t><w:noBreakHyphen/>"
        "<w:t>sent</w:t></w:r></w:p>"
    )

    assert parse(word(body), "a.docx").text == "Here m=1鬼門re-sent"


@pytest.mark.parametrize("suffix", [".docx", ".xlsx", ".pptx"])
def test_a_package_that_refers_to_what_it_lacks_and_leaves_a_type_untold_is_read(suffix: str) -> None:
    made = PACKAGES[suffix]()
    part = PARTS[suffix]
    folder, _, name = part.rpartition("/")
    relations = f"{folder}/_rels/{name}.rels"
    known = zipfile.ZipFile(io.BytesIO(made))
    old = known.read(relations).decode() if relations in known.namelist() else RELATIONS
    one = f'<Relationship Id="rId99" Type="{OFFICE}/relationships/image" Target="%s"/>'
    dangling = old.replace("</Relationships>", one % "NULL" + (one % "x.odd").replace("99", "98") + "</Relationships>")

    spoilt = altered(made, {relations: dangling, f"{folder}/x.odd": "?"})

    assert parse(spoilt, f"a{suffix}") == parse(made, f"a{suffix}")


@pytest.mark.parametrize(
    ("suffix", "part"),
    [(".docx", "word/styles.xml"), (".xlsx", "xl/sharedStrings.xml"), (".xlsx", SHEET), (".pptx", PARTS[".pptx"])],
)
def test_a_member_that_is_told_by_letters_of_another_case_is_found(suffix: str, part: str) -> None:
    made = PACKAGES[suffix]()
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(made)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            spelt = {part: part.upper()}
            folder, _, last = part.rpartition("/")
            spelt[f"{folder}/_rels/{last}.rels"] = f"{folder.upper()}/_rels/{last.upper()}.rels"
            new.writestr(spelt.get(name, name), old.read(name))

    assert parse(out.getvalue(), f"a{suffix}") == parse(made, f"a{suffix}")


@pytest.mark.parametrize("suffix", [".docx", ".xlsx", ".pptx"])
def test_a_package_of_the_strict_kind_is_read_as_any_other(suffix: str) -> None:
    made = PACKAGES[suffix]()
    package = zipfile.ZipFile(io.BytesIO(made))
    strict = {
        name: re.sub(
            rb"http://schemas.openxmlformats.org/(\w+)/2006/(?!metadata)",
            rb"http://purl.oclc.org/ooxml/\1/",
            package.read(name),
        )
        for name in package.namelist()
        if name.endswith((".xml", ".rels"))
    }
    kept = re.compile(rb"http://purl.oclc.org/ooxml/package/")  # the package itself has one kind only
    strict = {
        name: kept.sub(b"http://schemas.openxmlformats.org/package/2006/", content) for name, content in strict.items()
    }

    assert parse(altered(made, strict), f"a{suffix}").text == parse(made, f"a{suffix}").text


def test_what_was_written_into_a_form_of_a_pdf_is_text() -> None:
    from pypdf import PdfWriter
    from pypdf.generic import ArrayObject, DictionaryObject, NameObject, TextStringObject

    def field(kind: str, value: str) -> DictionaryObject:
        pairs = {"FT": NameObject(kind), "T": TextStringObject(kind), "TU": TextStringObject("Name")}
        return DictionaryObject({NameObject(f"/{k}"): v for k, v in (pairs | {"V": TextStringObject(value)}).items()})

    made = PdfWriter()
    made.add_blank_page(100, 100)
    fields = ArrayObject([made._add_object(field("/Tx", "Ada")), made._add_object(field("/Sig", "sealed"))])
    made.root_object[NameObject("/AcroForm")] = DictionaryObject({NameObject("/Fields"): fields})
    out = io.BytesIO()
    made.write(out)

    assert parse(out.getvalue(), "form.pdf").text == "Name: Ada"


def test_raised_digits_of_a_word_document_do_not_become_part_of_the_number_before_them() -> None:
    from docx import Document

    made = Document()
    paragraph = made.add_paragraph("It counts to 10")
    paragraph.add_run("6").font.superscript = True
    paragraph.add_run(", or 10")
    for part in ("\u2212", "6"):
        paragraph.add_run(part).font.superscript = True
    paragraph.add_run(", on the 1")
    paragraph.add_run("st").font.superscript = True
    paragraph.add_run(" try.")
    assert parse(saved(made), "a.docx").text == "It counts to 10⁶, or 10⁻⁶, on the 1st try."


def test_raised_digits_of_a_slide_do_not_become_part_of_the_number_before_them() -> None:
    from pptx import Presentation

    show = Presentation()
    slide = show.slides.add_slide(show.slide_layouts[5])
    paragraph = slide.shapes.title.text_frame.paragraphs[0]
    for text, baseline in (
        ("It counts to 10", None),
        ("-", "30000"),
        ("6", "30000"),
        (" and H", None),
        ("2", "-25000"),
        ("O", None),
    ):
        run = paragraph.add_run()
        run.text = text
        if baseline:
            run.font._element.set("baseline", baseline)
    assert parse(saved(show), "a.pptx").text == "It counts to 10⁻⁶ and H2O"


@pytest.mark.parametrize("suffix", [".docx", ".pptx"])
def test_a_title_is_found_though_libreoffice_writes_another_type_for_it_and_a_librarys_default_is_none(
    suffix: str,
) -> None:
    package = PACKAGES[suffix]()
    with zipfile.ZipFile(io.BytesIO(package)) as members:
        relations = members.read("_rels/.rels").decode()
    other = relations.replace("/package/2006/relationships/metadata", "/officedocument/2006/relationships/metadata")
    assert other != relations
    assert parse(altered(package, {"_rels/.rels": other}), f"a{suffix}").title == parser_samples.TITLE

    without = re.sub(r"<Relationship [^>]*core-properties[^>]*/>", "", relations)
    assert without != relations
    assert parse(altered(package, {"_rels/.rels": without}), f"a{suffix}").title not in (
        "Word Document",
        "PowerPoint Presentation",
    )


def test_a_docx_bomb_is_refused_before_it_is_unpacked() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("word/document.xml", b"0" * 5_000_000)

    assert reason(out.getvalue(), "a.docx") == "bomb"


def test_an_encrypted_and_an_old_word_file_are_told_apart() -> None:
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 100

    assert reason(ole + "EncryptedPackage".encode("utf-16-le"), "a.docx") == "encrypted"
    assert reason(ole, "a.docx") == "malformed"


def test_a_zip_that_is_no_word_document_is_malformed() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as package:
        package.writestr("hello.txt", "hello")

    assert reason(out.getvalue(), "a.docx") == "malformed"

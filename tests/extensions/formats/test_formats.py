"""OpenDocument, RTF, EPUB, mail of Outlook and binary Office files: what is kept and left out, and what is refused in a sentence."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from extensions.formats import binary_office
from foundation.errors import DocumentRefused
from foundation.extensions import find_modules
from retrieval.documents import Parsed, ParseLimits
from retrieval.ingest.parsing import NeedsRoom, find_newer_parser, parse_here
from retrieval.ingest.sandbox import ParserPool
from retrieval.settings import ParsingSettings
from tests.contracts import parser_samples
from tests.contracts.parser_samples import SAMPLES
from tests.services import convert

LIMITS = ParseLimits(parsers=find_modules("retrieval.parsers", ["formats", "office"]))
MADE_HERE = (".rst", ".rtf", ".odt", ".ods", ".odp", ".epub", ".msg", ".xls")
OUTPUTS = {
    "rst 2 .rst": "c20ab636",
    "rtf 2 .rtf": "03a75320",
    "opendocument 3 .odt": "04c0ccc9",
    "opendocument 3 .ods": "e480b2fd",
    "opendocument 3 .odp": "277b14c1",
    "epub 2 .epub": "04c0ccc9",
    "msg 2 .msg": "c20ab636",
    "xls 5 .xls": "e480b2fd",
}
"""What each version of a parser makes of its samples; what LibreOffice has a part in changes with its version."""


def parse(content: bytes, name: str, limits: ParseLimits = LIMITS) -> Parsed:
    return parse_here(content, name, limits)


def lines(content: bytes, name: str) -> list[str]:
    parsed = parse(content, name)
    return [f"{block.kind}: {parsed.text[block.start : block.end]}" for block in parsed.blocks]


def refusal(content: bytes, name: str, limits: ParseLimits = LIMITS) -> DocumentRefused:
    with pytest.raises(DocumentRefused) as refused:
        parse(content, name, limits)
    assert name in str(refused.value)
    return refused.value


def saved(made: Any) -> bytes:
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def packed(members: dict[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in members.items():
            package.writestr(name, content)
    return out.getvalue()


def altered(package: bytes, members: dict[str, str | bytes]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(package)) as old:
        return packed({name: old.read(name) for name in old.namelist()} | members)


# OpenDocument


def text(fill: Callable[[Any], None]) -> bytes:
    from odfdo import Document

    document = Document("text")
    document.body.clear()
    fill(document.body)
    return saved(document)


def test_a_text_has_its_headings_items_and_tables_and_its_notes_behind_their_paragraph() -> None:
    from odfdo import Header, List, Paragraph

    def fill(body: Any) -> None:
        body.append(Header(2, "Fares"))
        paragraph = Paragraph("A ticket costs 14.50 euros.")
        paragraph.insert_note(after="euros", note_id="n1", citation="1", body="Children pay half.")
        body.append(paragraph)
        body.append(List(["Boots", "Hats"]))

    assert lines(text(fill), "a.odt") == [
        "heading: Fares",
        "paragraph: A ticket costs 14.50 euros.",
        "paragraph: Children pay half.",
        "item: Boots",
        "item: Hats",
    ]


def test_what_libreoffice_writes_is_read_as_the_word_document_that_it_was_made_from() -> None:
    made = parser_samples.docx("The end.")
    for suffix in ("odt", "rtf", "doc"):
        read = parse(convert(made, suffix), f"a.{suffix}").text
        assert "Item: Boots; Days: 30" in read or "Boots | 30" in read, suffix
        for sentence in (parser_samples.TITLE, *parser_samples.SENTENCES):
            assert sentence in read, suffix


def test_comments_and_deleted_text_are_not_read_and_blanks_are_kept() -> None:
    from odfdo import Element, Paragraph

    def fill(body: Any) -> None:
        body.append(Element.from_tag("<text:tracked-changes><text:p>gone</text:p></text:tracked-changes>"))
        paragraph = Paragraph("left  right\tend")
        paragraph.insert_annotation(after="left", body="a remark", creator="Ann")
        body.append(paragraph)

    assert lines(text(fill), "a.odt") == ["paragraph: left right end"]


def spreadsheet(*tables: str, styles: str = "") -> bytes:
    names = {name: f"urn:oasis:names:tc:opendocument:xmlns:{name}:1.0" for name in ("office", "table", "text", "style")}
    spaces = " ".join(f'xmlns:{name}="{space}"' for name, space in names.items())
    body = f"<office:body><office:spreadsheet>{''.join(tables)}</office:spreadsheet></office:body>"
    automatic = f"<office:automatic-styles>{styles}</office:automatic-styles>"
    return packed({"content.xml": f"<office:document-content {spaces}>{automatic}{body}</office:document-content>"})


def row(*cells: str, more: str = "") -> str:
    texts = "".join(f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>" for cell in cells)
    return f"<table:table-row {more}>{texts}</table:table-row>"


def test_a_sheet_shows_what_its_cells_show_and_nothing_that_is_hidden() -> None:
    columns = '<table:table-column/><table:table-column table:visibility="collapse"/><table:table-column/>'
    hidden_row = row("Wine", "secret", "1 %", more='table:visibility="collapse"')
    shown = f'<table:table table:name="Rates">{columns}{row("Item", "Cost", "Share")}{row("Boots", "secret", "15 %")}{hidden_row}</table:table>'
    style = (
        '<style:style style:name="h" style:family="table"><style:table-properties table:display="false"/></style:style>'
    )
    hidden = f'<table:table table:name="Hidden" table:style-name="h">{row("secret", "1")}</table:table>'
    assert lines(spreadsheet(shown, hidden, styles=style), "a.ods") == [
        "heading: Rates",
        "row: Item: Boots; Share: 15 %",
    ]


def test_cells_and_rows_that_say_that_they_stand_there_a_million_times_cost_nothing() -> None:
    empty = '<table:table-row table:number-rows-repeated="1048576"><table:table-cell table:number-columns-repeated="16384"/></table:table-row>'
    wide = '<table:table-row table:number-rows-repeated="99999999"><table:table-cell table:number-columns-repeated="99999999"><text:p>x</text:p></table:table-cell></table:table-row>'
    sheet = f'<table:table table:name="A">{row("Item", "Days")}{row("Boots", "30")}{empty}</table:table>'
    assert lines(spreadsheet(sheet), "a.ods") == ["heading: A", "row: Item: Boots; Days: 30"]
    bomb = altered(spreadsheet(f"<table:table>{wide * 2000}</table:table>"), {"a.bin": os.urandom(99_999)})
    with closing(ParserPool(ParsingSettings(timeout_s=60), LIMITS)) as pool:
        try:
            assert len(pool.parse(bomb, "b.ods").text) < 5_000_001
        except DocumentRefused as refused:
            assert refused.reason == "too_large"  # noqa: PT017 - either is right
        assert pool.parse(b"Still here.", "next.txt").text == "Still here."


def test_slides_have_their_number_their_title_and_their_notes() -> None:
    read = parse(convert(parser_samples.pptx(), "odp"), "a.odp")
    assert read.pages == 2
    told = [(block.kind, block.page, read.text[block.start : block.end]) for block in read.blocks]
    assert ("heading", 1, parser_samples.TITLE) in told
    assert ("heading", 2, "Refunds") in told
    assert (parser_samples.SENTENCES[1], 2) in {(words, page) for _, page, words in told}


# RTF


def test_a_picture_in_rtf_is_left_out_and_letters_of_its_code_page_are_read() -> None:
    picture = "{\\pict\\pngblip " + "89504e47" * 5000 + "}"
    content = (
        f"{{\\rtf1\\ansi\\ansicpg1250 {picture}Caf\\'e9 \\u8364?5\\par {{\\*\\generator Word}}done\\par}}".encode()
    )
    assert lines(content, "a.rtf") == ["paragraph: Café €5", "paragraph: done"]


# EPUB


def book(*chapters: str, **more: str | bytes) -> bytes:
    items = "".join(
        f'<item id="c{n}" href="c{n}.xhtml" media-type="application/xhtml+xml"/>' for n in range(len(chapters))
    )
    spine = "".join(f'<itemref idref="c{n}"/>' for n in reversed(range(len(chapters))))
    package = (
        f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}</manifest><spine>{spine}</spine></package>'
    )
    pages = {f"OEBPS/c{n}.xhtml": f"<html><body>{chapter}</body></html>" for n, chapter in enumerate(chapters)}
    container = '<container><rootfiles><rootfile full-path="OEBPS/content.opf"/></rootfiles></container>'
    return packed({"META-INF/container.xml": container, "OEBPS/content.opf": package, **pages, **more})


def test_chapters_stand_in_the_order_of_the_book_and_not_of_its_files() -> None:
    read = lines(book("<h1>Second</h1><p>It ends.</p>", "<h1>First</h1><p>It begins.</p>", "<img/>"), "a.epub")
    assert read == ["heading: First", "paragraph: It begins.", "heading: Second", "paragraph: It ends."]


def test_a_book_that_is_protected_is_refused_and_one_with_scrambled_fonts_is_read() -> None:
    def told(algorithm: str) -> bytes:
        method = f'<EncryptionMethod Algorithm="{algorithm}"/>'
        return book(
            "<p>It begins.</p>",
            **{"META-INF/encryption.xml": f"<encryption><EncryptedData>{method}</EncryptedData></encryption>"},
        )

    assert refusal(told("http://www.w3.org/2001/04/xmlenc#aes128-cbc"), "a.epub").reason == "encrypted"
    assert parse(told("http://www.idpf.org/2008/embedding"), "a.epub").text == "It begins."


# Mail of Outlook


def message(body: str, **more: Any) -> Any:
    from aspose.email_foss.msg import MapiMessage

    made = MapiMessage.create("Fares", body)
    made.add_recipient("ann@example.com", display_name="Ann")
    for name, content in more.items():
        made.add_attachment(name.replace("_", "."), content)
    return made


def test_a_mail_has_its_people_its_body_and_what_is_attached_as_one_of_the_internet_has() -> None:
    inner = message("Children pay half.", list_csv=b"Item,Days\nBoots,30\n")
    outer = message("A ticket costs 14.50 euros.")
    outer.add_embedded_message_attachment(inner)
    read = parse(outer.to_bytes(), "a.msg")
    for fact in ("Fares", "ann@example.com", "14.50", "Children pay half.", "list.csv", "Item: Boots; Days: 30"):
        assert fact in read.text
    assert {version.split()[0] for version in read.parsers} == {"msg", "eml", "text", "csv"}


def test_a_body_that_is_there_in_packed_rtf_alone_is_read() -> None:
    from compressed_rtf import compress

    made = message("")
    made.set_property(0x1009, 0x0102, compress(b"{\\rtf1\\ansi A ticket costs 14.50 euros.\\par}"))
    assert "14.50 euros" in parse(made.to_bytes(), "a.msg").text


def test_an_encrypted_mail_is_refused() -> None:
    assert refusal(message("", smime_p7m=b"sealed").to_bytes(), "a.msg").reason == "encrypted"


# Binary workbooks


def test_a_binary_workbook_shows_dates_and_shares_and_nothing_that_is_hidden() -> None:
    import datetime as dt

    from xlwt import Workbook, easyxf

    made = Workbook()
    sheet, hidden = made.add_sheet("Rates"), made.add_sheet("Hidden")
    hidden.visibility = 1
    hidden.write(0, 0, "secret")
    for column, name in enumerate(("Day", "Share", "Cost", "Open")):
        sheet.write(0, column, name)
    sheet.write(1, 0, dt.date(2026, 3, 14), easyxf(num_format_str="YYYY-MM-DD"))
    sheet.write(1, 1, 0.15, easyxf(num_format_str="0%"))
    sheet.write(1, 2, 12.5, easyxf(num_format_str='0.00 "EUR"'))
    sheet.write(1, 3, value := True)
    assert value
    sheet.write(2, 0, "secret")
    sheet.row(2).hidden = True
    assert lines(saved(made), "a.xls") == [
        "heading: Rates",
        "row: Day: 2026-03-14; Share: 15 %; Cost: 12.5 EUR; Open: TRUE",
    ]


# Binary documents, by LibreOffice


def test_a_binary_document_is_read_by_a_process_that_may_write_while_others_may_not() -> None:
    content = SAMPLES[".doc"]()
    with pytest.raises(NeedsRoom):
        parse(content, "a.doc", replace(LIMITS, memory_mb=512))
    with closing(ParserPool(ParsingSettings(timeout_s=60), LIMITS)) as pool:
        assert "Item: Boots; Days: 30" in pool.parse(content, "a.doc").text
        assert pool._limits.writes_mb == 0
        mail = EmailMessage()
        mail.add_attachment(content, maintype="application", subtype="msword", filename="a.doc")
        assert "Boots" in pool.parse(mail.as_bytes(), "a.eml").text


def test_without_libreoffice_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    content = SAMPLES[".ppt"]()
    monkeypatch.setenv("PATH", "")
    refused = refusal(content, "a.ppt")
    assert refused.reason == "unsupported"
    assert "apt-get install libreoffice-writer-nogui" in str(refused)


def test_a_document_that_takes_libreoffice_too_long_ends_with_all_its_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content = SAMPLES[".doc"]()
    slow = tmp_path / "soffice"
    slow.write_text(f"#!/bin/sh\nsleep 3000 &\necho $! > {tmp_path}/pid\nwait\n", encoding="utf-8")
    slow.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{Path(shutil.which('sleep') or '').parent}")
    monkeypatch.setattr(binary_office, "SECONDS", 3)
    assert refusal(content, "a.doc").reason == "timeout"
    started = Path("/proc", (tmp_path / "pid").read_text(encoding="utf-8").strip(), "stat")
    until = time.monotonic() + 60
    while started.exists() and " Z " not in started.read_text(encoding="utf-8"):
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """The address of a server, and the paths that it was asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self.do_GET
            raise AttributeError(name)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()


def test_a_binary_document_reaches_for_no_address_and_no_file(asked: tuple[str, list[str]], tmp_path: Path) -> None:
    address, paths = asked
    (tmp_path / "secret.txt").write_text("swordfish", encoding="utf-8")
    included = "".join(
        f"{{\\field{{\\*\\fldinst {field}}}{{\\fldrslt}}}}"
        for field in (f'INCLUDEPICTURE "{address}/picture.png" \\\\d', f'INCLUDETEXT "{tmp_path}/secret.txt"')
    )
    content = convert(f"{{\\rtf1\\ansi A ticket.\\par {included}\\par}}".encode(), "doc")
    assert address.encode() in content or address.encode("utf-16-le") in content
    paths.clear()  # of the program that made it
    read = parse(content, "a.doc")
    assert "A ticket." in read.text
    assert "swordfish" not in read.text
    assert paths == []


def test_what_is_of_another_kind_under_the_older_suffix_is_read_as_what_it_is_or_refused() -> None:
    assert "Item: Boots; Days: 30" in parse(parser_samples.docx(), "a.doc").text
    assert "Boots" in parse(parser_samples.rtf(), "a.doc").text
    assert refusal(parser_samples.xls(), "a.doc").reason == "malformed"
    assert refusal(b"<html><iframe src='file:///etc/passwd'></html>", "a.doc").reason == "malformed"
    assert refusal(SAMPLES[".doc"]()[:3000], "a.doc").reason == "malformed"


# All of them


@pytest.mark.parametrize("suffix", [".odt", ".ods", ".odp", ".epub"])
def test_a_package_that_unpacks_to_a_multiple_of_itself_or_declares_entities_is_refused(suffix: str) -> None:
    bomb = altered(SAMPLES[suffix](), {"Pictures/a.bin": b"\0" * 9_000_000})
    assert refusal(bomb, f"a{suffix}").reason == "bomb"
    entities = altered(SAMPLES[suffix](), {"content.xml": '<!DOCTYPE x [<!ENTITY a "ha">]><x>&a;</x>'})
    assert refusal(entities, f"a{suffix}").reason == "bomb"


@pytest.mark.parametrize("suffix", [".odt", ".ods", ".odp"])
def test_an_opendocument_file_with_a_password_is_refused(suffix: str) -> None:
    manifest = '<manifest:manifest xmlns:manifest="m"><manifest:file-entry><manifest:encryption-data/></manifest:file-entry></manifest:manifest>'
    assert refusal(altered(SAMPLES[suffix](), {"META-INF/manifest.xml": manifest}), f"a{suffix}").reason == "encrypted"


@pytest.mark.parametrize("suffix", MADE_HERE)
def test_a_broken_file_is_refused_in_a_sentence_and_the_next_is_read(suffix: str) -> None:
    content = SAMPLES[suffix]()
    with closing(ParserPool(ParsingSettings(timeout_s=60), LIMITS)) as pool:
        for damaged in (content[: len(content) // 2], content[:40] + content[60:], b"PK\3\4" + content[4:]):
            try:
                pool.parse(damaged, f"a{suffix}")
            except DocumentRefused as refused:
                assert f'"a{suffix}' in str(refused)  # noqa: PT017 - it may as well be read
        assert pool.parse(content, f"a{suffix}").text


def test_each_parser_has_a_version_that_says_what_it_makes_of_its_samples() -> None:
    for suffix in MADE_HERE:
        parsed = parse(SAMPLES[suffix](), f"sample{suffix}")
        made = repr((parsed.text, parsed.blocks, parsed.title, parsed.pages, parsed.tables)).encode()
        digest = hashlib.blake2b(made, digest_size=4).hexdigest()
        own = next(version for version in parsed.parsers if version.split()[0] in ("opendocument", suffix[1:]))
        assert OUTPUTS.get(f"{own} {suffix}") == digest, (
            f'Raise the version and note here "{own} {suffix}": "{digest}".'
        )
        assert find_newer_parser(f"a{suffix}", parsed.parsers, LIMITS) is None

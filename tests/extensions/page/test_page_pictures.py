"""The picture of a cited page: drawn from the very file that was taken in, in a process of its own, for those who may read it."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fpdf import FPDF
from PIL import Image
from playwright.sync_api import Browser, expect
from pypdf import PdfReader, PdfWriter
from pypdf.generic import RectangleObject

from extensions.page.original import read_original
from extensions.page.pdf_page import SIDE, Frame, draw_page
from extensions.page.views.page_picture import PagePicture
from foundation.clock import SystemClock
from foundation.types import Principal
from orchestration.effects.policy import Policy
from orchestration.settings import PolicySettings
from retrieval.documents import Citation, Document, Source
from retrieval.ingest.preparation import Item, hash_item
from serving.access.identity import KeyStore
from serving.settings import load
from tests.extensions.page.test_page import ROOT, WAIT_S, ask, broken_rules, serving, sign_in, stack_in

FACT = "The harbour lamp burns for eleven nights."
WORDS = "before the keeper fills it with oil"


def pdf(*pages: str) -> bytes:
    document = FPDF()
    document.set_font("Helvetica", size=14)
    for text in pages:
        document.add_page()
        document.multi_cell(0, 8, text)
    return bytes(document.output())


LAMP = pdf("The cover of the book of lamps.", f"{FACT} It is then dark.\n{WORDS} again.")


def changed(turn: int = 0, box: tuple[float, ...] = ()) -> bytes:
    writer, file = PdfWriter(clone_from=PdfReader(io.BytesIO(LAMP))), io.BytesIO()
    writer.pages[1].rotate(turn)
    if box:
        writer.pages[1].mediabox = RectangleObject(box)
    writer.write(file)
    return file.getvalue()


@pytest.mark.parametrize("context", ["desk", "phone"])
def test_a_cited_page_is_shown_as_it_looks_while_its_file_is_the_one_that_was_taken_in(
    browser: Browser, tmp_path: Path, context: str
) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "lamps.pdf").write_bytes(LAMP)
    (folder / "prices.csv").write_text("Lamp,Price,\nHarbour lamp,90 USD,\nMoon lamp,70 USD,in May\n")
    stack = stack_in(tmp_path)
    ingest = [sys.executable, "-m", "serving.cli", "ingest", folder, "--tenant", "alder", "--stack", stack]
    subprocess.run(ingest, check=True, cwd=ROOT, timeout=WAIT_S)
    key = KeyStore.of(load(stack).settings, SystemClock()).create(subject="lou", tenant="alder", roles=["reader"])
    wide = {"width": 1400, "height": 900} if context == "desk" else {"width": 360, "height": 740}
    with serving(stack) as (url, _), closing(browser.new_context(viewport=wide)) as opened:  # type: ignore[arg-type]
        page = opened.new_page()
        page.set_default_timeout(WAIT_S * 1000)
        page.goto(url)
        sign_in(page, key)
        turn = ask(page, "For how many nights does the harbour lamp burn?")
        turn.get_by_role("button", name="Source 1").first.click()
        picture = page.get_by_role("dialog", name="Source").get_by_role("region", name="Picture of the page")
        expect(picture).to_contain_text("Page 2")
        expect(picture.locator("img")).to_be_visible()
        assert picture.locator("img").evaluate("image => image.decode().then(() => image.naturalHeight)") == SIDE
        assert picture.locator(".cited").get_attribute("d") != ""
        expect(picture.locator(".cited")).to_be_in_viewport()
        expect(page.get_by_role("dialog").locator("mark")).to_be_visible()
        assert [rule for rule in broken_rules(page, ".q-dialog") if not rule.startswith("color-contrast")] == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        (folder / "lamps.pdf").write_bytes(pdf("Another book.", "Another page."))
        turn.get_by_role("button", name="Source 1").first.click()
        expect(page.get_by_role("dialog").locator("mark")).to_be_in_viewport()
        expect(picture.locator("img")).to_have_count(0)
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        ask(page, "What is the price of the harbour lamp?").get_by_role("button", name="Source 1").first.click()
        table = page.get_by_role("dialog").get_by_role("table")
        expect(table.get_by_role("columnheader")).to_have_text(["Lamp", "Price"])
        expect(table.get_by_role("row").nth(1).locator("mark").first).to_have_text("Harbour lamp")
        assert [rule for rule in broken_rules(page, ".q-dialog") if not rule.startswith("color-contrast")] == []


def test_words_are_found_on_the_picture_over_line_ends_and_on_a_page_that_is_turned() -> None:
    upright, turned = draw_page(LAMP, 2, [FACT]), draw_page(changed(turn=90), 2, [FACT])
    assert upright is not None
    assert turned is not None
    assert Image.open(io.BytesIO(upright.picture)).size == (upright.width, upright.height)
    (frame,) = upright.frames
    assert frame.left < 100
    assert frame.top < 100
    assert (turned.width, turned.height) == (upright.height, upright.width)
    (frame,) = turned.frames
    assert frame.right > 900
    assert frame.top < 100
    over_lines = draw_page(LAMP, 2, [f"It is then dark. {WORDS}"])
    assert over_lines is not None
    assert len(over_lines.frames) == 2
    both = draw_page(LAMP, 2, ["It is then dark.", WORDS, "nowhere at all", ""])
    assert both is not None
    assert len(both.frames) == 2
    absent = draw_page(LAMP, 1, [FACT])
    assert absent is not None
    assert absent.frames == ()


@pytest.mark.parametrize(
    "content",
    [b"", b"%PDF-1.7\n" + b"\xff" * 1000, LAMP[:400], b"\x89PNG\r\n\x1a\n", changed(box=(0, 0, 0, 0.0001))],
    ids=["empty", "rubbish", "cut off", "another format", "a page without a size"],
)
def test_what_cannot_be_drawn_has_no_picture_and_harms_nobody(content: bytes) -> None:
    image = draw_page(content, 2, [FACT])
    assert image is None or max(image.width, image.height) <= SIDE + 1


@pytest.mark.parametrize("page", [-1, 0, 3, 10**9])
def test_a_page_that_is_not_there_has_no_picture(page: int) -> None:
    assert draw_page(LAMP, page, [FACT]) is None


def test_a_page_of_a_kilometre_has_a_picture_of_the_usual_size() -> None:
    image = draw_page(changed(box=(0, 0, 2_834_646, 2_834_646)), 2, [FACT])
    assert image is None or (image.width, image.height) == (SIDE, SIDE)


def stored(folder: Path, uri: str, content: bytes, *, title: str = "") -> Document:
    source = Source(uri, "alder", title=title, origin=str(folder))
    digest = hash_item(Item(source, content, Path(uri).name))
    kept = Source(uri, "alder", title=title or "Told by its text", origin=str(folder))
    return Document(kept.document_id, kept, digest, 1, 1, datetime.now(UTC))


@pytest.mark.parametrize("title", ["", "Lamps"])
def test_the_original_of_a_document_is_read_from_its_folder(tmp_path: Path, title: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "lamps.pdf").write_bytes(LAMP)
    document = stored(tmp_path, "a/lamps.pdf", LAMP, title=title)
    assert read_original(document, max_bytes=10**6) == LAMP
    assert read_original(document, max_bytes=len(LAMP) - 1) is None
    assert read_original(stored(tmp_path, "a/lamps.pdf", b"other", title=title), max_bytes=10**6) is None


@pytest.mark.parametrize(
    "name", ["../secret.pdf", "link.pdf", "pipe.pdf", "below/secret.pdf", "gone.pdf", "/", "", "\0.pdf"]
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    import os

    folder = tmp_path / "documents"
    folder.mkdir()
    (tmp_path / "secret.pdf").write_bytes(LAMP)
    (folder / "link.pdf").symlink_to(tmp_path / "secret.pdf")
    (folder / "below").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.pdf")
    for uri in (name, str(tmp_path / "secret.pdf")):
        assert read_original(stored(folder, uri, LAMP), max_bytes=10**6) is None


@pytest.mark.parametrize("origin", ["", "source:books", "https://books.example/a", "documents"])
def test_a_document_that_was_sent_or_comes_from_elsewhere_has_no_original(tmp_path: Path, origin: str) -> None:
    (tmp_path / "lamps.pdf").write_bytes(LAMP)
    assert read_original(stored(Path(origin), "lamps.pdf", LAMP), max_bytes=10**6) is None


def test_a_page_is_drawn_for_those_alone_who_may_read_its_document(tmp_path: Path) -> None:
    (tmp_path / "lamps.pdf").write_bytes(LAMP)
    source = Source("lamps.pdf", "alder", frozenset({"board"}), origin=str(tmp_path))
    document = Document(source.document_id, source, hash_item(Item(source, LAMP, "lamps.pdf")), 1, 1, datetime.now(UTC))
    kept = {document.document_id: document}
    policy = Policy(PolicySettings(roles={"reader": ("*",)}))
    retrieval = SimpleNamespace(ledger=SimpleNamespace(find=kept.get))
    settings = SimpleNamespace(retrieval=SimpleNamespace(parsing=SimpleNamespace(max_bytes=10**6)))
    visitor: Any = SimpleNamespace(system=SimpleNamespace(policy=policy, retrieval=retrieval, settings=settings))
    cited = Citation(1, document.document_id, "c", "lamps.pdf", "Lamps", 0, len(FACT), FACT, page=2)

    def sees(tenant: str, *groups: str) -> bool:
        reader = Principal("lou", tenant, frozenset({"reader"}), frozenset(groups))
        return PagePicture(visitor)._read(cited, reader, 2, [FACT]) is not None

    assert sees("alder", "board")
    assert [sees("alder"), sees("alder", "staff"), sees("birch", "board"), sees("birch")] == [False] * 4
    kept.clear()
    assert not sees("alder", "board"), "it was deleted, though its file is still there"


def test_a_frame_is_in_thousandths_of_the_page() -> None:
    image = draw_page(LAMP, 2, [FACT])
    assert image is not None
    assert all(0 <= edge <= 1000 for frame in image.frames for edge in frame)
    assert isinstance(image.frames[0], Frame)

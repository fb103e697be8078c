"""What people do with their conversations: name, pin, export, share and go on from an earlier answer, in a real browser."""
# ruff: noqa: F811 - fixtures of test_page.py

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from extensions.page.sharing import select_readable
from foundation.clock import SystemClock
from foundation.types import Principal
from orchestration.effects.policy import Policy
from orchestration.events import Turn
from orchestration.settings import PolicySettings
from retrieval.documents import Citation
from serving.access.identity import KeyStore
from serving.settings import load
from tests.doubles import stacks
from tests.extensions.page.test_page import (  # noqa: F401 - fixtures
    FACT,
    PALE,
    WAIT_S,
    Served,
    ask,
    broken_rules,
    context,
    page,
    served,
    serving,
    sign_in,
)

QUESTION = "How long does the moon lamp run?"
PHONE = {
    "viewport": {"width": 360, "height": 740},
    "has_touch": True,
    "color_scheme": "dark",
    "reduced_motion": "reduce",
}
DESK = {"reduced_motion": "reduce"}


@pytest.fixture
def asking(page: Page, served: Served) -> Page:
    """The page of a person of a group, who has asked one question."""
    key = served.keys.create(subject=f"noor {uuid4()}", tenant="alder-clinics", roles=["agent"], groups=["board"])
    sign_in(page, key)
    ask(page, QUESTION)
    return page


@pytest.fixture
def reading(browser: Browser) -> Iterator[Page]:
    """The browser of somebody else."""
    with closing(browser.new_context()) as other:
        other.set_default_timeout(WAIT_S * 1000)
        yield other.new_page()


def entries(page: Page) -> Any:
    expect(page.get_by_label("Question")).to_be_visible()
    opener = page.get_by_role("button", name="Earlier")
    if opener.is_visible() and opener.get_attribute("aria-expanded") != "true":
        opener.click()
    return page.get_by_role("complementary", name="Earlier conversations").get_by_role("listitem")


def choose(page: Page, entry: Any, item: str) -> None:
    entry.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name=item, exact=True).click()


def make_link(page: Page, entry: Any, button: str = "Make a link") -> str:
    choose(page, entry, "Share")
    dialog = page.get_by_role("dialog", name="Share")
    dialog.get_by_role("button", name=button).click()
    link = dialog.get_by_label("Link, shown only now").input_value()
    assert [rule for rule in broken_rules(page, ".q-dialog") if not rule.startswith("color-contrast")] == []
    assert page.evaluate(PALE) == []
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)
    return link


@pytest.mark.parametrize("context", [DESK, PHONE], indirect=True, ids=["desk", "dark phone"])
def test_a_conversation_is_named_pinned_and_found_by_its_name_with_the_keyboard_alone(asking: Page) -> None:
    known = entries(asking)
    expect(known).to_have_count(1)
    more = known.first.get_by_role("button", name=f"More: {QUESTION}")
    more.press("Enter")
    expect(asking.get_by_role("menuitem")).to_have_count(6)
    assert broken_rules(asking, ".q-menu") == []
    asking.get_by_role("menuitem", name="Rename").press("Enter")
    dialog = asking.get_by_role("dialog", name="Rename")
    expect(dialog.get_by_label("Title")).to_be_focused()
    dialog.get_by_label("Title").fill("  The lamp at night ")
    asking.keyboard.press("Enter")
    expect(known.first).to_contain_text("The lamp at night")
    expect(dialog).to_have_count(0)
    known.first.get_by_role("button", name="More: The lamp at night").press("Enter")
    asking.get_by_role("menuitem", name="Pin").press("Enter")
    expect(known.first).to_contain_text("pinned")
    assert asking.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for words, count in (("lamp at night", 1), ("lamp by day", 0), ("", 1)):
        asking.get_by_label("Search your conversations").fill(words)
        expect(known).to_have_count(count)
    asking.reload()
    expect(entries(asking).first).to_contain_text("The lamp at night")


def test_a_conversation_is_a_file_to_read_and_one_to_compute_with(asking: Page) -> None:
    found = {}
    for item in ("Markdown", "JSON"):
        with asking.expect_download() as sent:
            choose(asking, entries(asking).first, f"Export as {item}")
        found[sent.value.suggested_filename.rpartition(".")[2]] = Path(sent.value.path()).read_text(encoding="utf-8")
    assert found["md"].startswith(f"# {QUESTION}\n\n## {QUESTION}\n\n")
    assert f"- [1] Moon lamp (moon.md): “{FACT}”" in found["md"]
    (turn,) = json.loads(found["json"])["turns"]
    assert (turn["question"], turn["citations"][0]["quote"]) == (QUESTION, FACT)


def test_a_link_shows_to_others_of_the_tenant_what_they_may_read_until_it_is_withdrawn(
    asking: Page, reading: Page, served: Served
) -> None:
    served_key = served.keys.create(subject="bo", tenant="alder-clinics", roles=["agent"], groups=["board"])
    add_for_board(served, served_key)
    ask(asking, "What does the board lamp cost?")
    link = make_link(asking, entries(asking).first)
    reading.goto(link)
    reading.get_by_label("API key").fill(served.reader)
    reading.get_by_role("button", name="Sign in").click()
    shown = reading.get_by_role("article")
    expect(shown).to_have_count(2)
    expect(reading.get_by_role("note")).to_contain_text("shared this with you")
    expect(shown.first).to_contain_text("nine hours")
    expect(shown.last.get_by_role("status").first).to_have_text("Not shown to you")
    expect(shown.last).not_to_contain_text("ninety")
    expect(reading.get_by_label("Question")).not_to_be_visible()
    for name in ("Ask again", "Edit", "Yes"):
        expect(reading.get_by_role("button", name=name, exact=True)).to_have_count(0)
    assert broken_rules(reading) == []
    reading.get_by_role("button", name="Ask something yourself").click()
    expect(reading.get_by_label("Question")).to_be_focused()

    choose(asking, entries(asking).first, "Share")
    asking.get_by_role("dialog").get_by_role("button", name="Withdraw the link").click()
    expect(asking.get_by_role("dialog").get_by_role("button", name="Make a link")).to_be_visible()
    reading.goto(link)
    expect(reading.get_by_text("This link opens no conversation of your tenant.")).to_be_visible()


def add_for_board(served: Served, key: str) -> None:
    files = {"file": ("board-lamp.md", b"# Board lamp\n\nThe board lamp costs ninety dollars.\n")}
    headers = {"Authorization": f"Bearer {key}"}
    sent = httpx2.post(
        f"{served.url}/v1/documents", files=files, data={"groups": "board"}, headers=headers, timeout=WAIT_S
    )
    assert sent.status_code == 201, sent.text


def test_a_link_opens_nothing_in_another_tenant_and_from_another_site_signs_nobody_out(
    asking: Page, reading: Page, served: Served
) -> None:
    link = make_link(asking, entries(asking).first)
    reading.goto(link)
    reading.get_by_label("API key").fill(served.keys.create(subject="ada", tenant="birch", roles=["reader"]))
    reading.get_by_role("button", name="Sign in").click()
    expect(reading.get_by_text("This link opens no conversation of your tenant.")).to_be_visible()
    expect(reading.get_by_role("article")).to_have_count(0)

    mail = asking.context.new_page()
    mail.route(
        "http://mail.example/", lambda route: route.fulfill(content_type="text/html", body=f'<a href="{link}">See</a>')
    )
    mail.goto("http://mail.example/")
    mail.get_by_role("link", name="See").click()
    expect(mail.get_by_role("note")).to_contain_text("shared this with you")


def test_who_reads_a_written_answer_has_every_right_of_its_asker() -> None:
    policy = Policy(PolicySettings(roles={"agent": ("*",)}))
    asker = Principal("noor", "north", frozenset({"agent"}), frozenset({"board"}))
    equal = Principal("bo", "north", frozenset({"agent", "reader"}), frozenset({"board"}))
    lesser = Principal("mia", "north", frozenset({"agent"}))
    readable = {"public"}

    class Ledger:
        def find(self, document_id: str) -> Any:
            return Document(document_id) if document_id in {"public", "boards"} else None

    class Document:
        def __init__(self, document_id: str) -> None:
            self.source, self._id = self, document_id

        def is_readable(self, scope: Any) -> bool:
            return self._id in readable or "board" in scope.groups

    def turn(path: Any, *cited: str) -> tuple[Principal, Turn]:
        citations = tuple(Citation(1, it, "c-1", it, it, 0, 1, "q") for it in cited)
        return asker, Turn(
            answer_id=path,
            question="?",
            status="answered",
            text="!",
            path=path,
            citations=citations,
            at=datetime.now(UTC),
        )

    def shown(reader: Principal, *turns: tuple[Principal, Turn]) -> list[bool]:
        ledger: Any = Ledger()
        return [ok for _, ok in select_readable(turns, reader, policy, ledger)]

    quoted, boards, written, by_tool = (
        turn("extractive", "public"),
        turn("extractive", "boards"),
        turn("generative", "public"),
        turn("tool"),
    )
    assert shown(equal, quoted, boards, written, by_tool) == [True] * 4
    assert shown(lesser, quoted, boards, written, by_tool) == [True, False, False, False]
    # what was deleted, or is now for others, was perhaps told again in what was written later
    assert shown(equal, turn("extractive", "deleted"), written, quoted) == [False, False, True]


def test_a_conversation_goes_on_from_an_earlier_answer_where_forks_is_on(browser: Browser, tmp_path: Path) -> None:
    on = ["feedback", "forks", "jobs", "page", "reports"]
    stack = stacks.stack(
        tmp_path, "[serving.http]\nport = 0\n", chat='use = "tests.doubles.file_reader:build"', extensions=on
    )
    key = KeyStore.of(load(stack).settings, SystemClock()).create(subject="ilka", tenant="alder", roles=["reader"])
    with serving(stack) as (url, _), closing(browser.new_page()) as page:
        page.set_default_timeout(WAIT_S * 1000)
        page.goto(url)
        sign_in(page, key)
        first = ask(page, "How many volts does it need?")
        ask(page, "And once more: how many?")
        first.get_by_role("button", name="Go on from here").click()
        expect(page.get_by_role("article")).to_have_count(1)
        expect(entries(page)).to_have_count(2)
        assert broken_rules(page) == []
        ask(page, "And otherwise?")
        expect(page.get_by_role("article")).to_have_count(2)


def test_there_is_no_button_of_an_extension_that_is_off(asking: Page) -> None:
    expect(asking.get_by_role("article").get_by_role("button", name="Ask again")).to_be_visible()
    expect(asking.get_by_role("button", name="Go on from here")).to_have_count(0)

"""The page in a real browser, over the real wiring and stores; only the two models are doubles.

The server is a process of its own, as `make serve` starts it. Nothing here waits for a time: Playwright waits for what is
to be seen.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from foundation.clock import SystemClock
from serving.access.identity import KeyStore
from serving.settings import load
from tests.doubles import stacks
from tests.doubles.issuer import AUDIENCE, ISSUER, Issuer
from tests.integration.test_api_system import DESK

ROOT = Path(__file__).parents[3]
WAIT_S = 120
"""Generous: a machine under load takes a minute to start the server."""
MORE = """
[orchestration.answers]
compose = "extractive"
[[observability.exporters]]
use = "sqlite"
[observability]
golden_set = "golden"
"""
GOLDEN = [
    {"id": f"g{number}", "question": question, "kind": "answerable", "tenant": tenant, "gold_documents": [document],
     "answers": ["nine"], "answerable": True}
    for number, (question, tenant, document) in enumerate((
        ("Which lamp is the birch tenant's?", "birch", "moon.md"),
        ("What does the board say?", "alder-clinics", "not-taken-in.md"),
        ("How long does the moon lamp run at night?", "alder-clinics", "moon.md"),
        ("Is the moon lamp dark after ten hours?", "alder-clinics", "moon.md"),
    ))
]  # fmt: skip
SILENT = """
[models.resilience]
gap_s = 600
[serving.http]
port = 0
grace_s = 1
"""
"""A model that has said something may be silent for longer than any test."""
QUOTA = "[serving.quotas.tenants.birch]\nrequests = { day = 2 }\n"
FACT = "The moon lamp runs for nine hours."
HOSTILE = "The sun lamp says <img src=x onerror=hacked=1><script>hacked=1</script> and weighs two kilograms."
NAMELESS = r"^ *- (?:button|checkbox|combobox|link|spinbutton|textbox)(?!.* \").*$"
"""A control without a name, in Playwright's picture of what a screen reader is told."""
PALE = """() => {
  const shade = text => { const found = text.match(/[\\d.]+/g).map(Number); return {c: found.slice(0, 3), a: found[3] ?? 1}; };
  const over = (top, below) => top.c.map((one, at) => one * top.a + below[at] * (1 - top.a));
  const light = c => { const [r, g, b] = c.map(one => (one /= 255) <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
                       return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = element => { const found = [];
    for (let one = element; one; one = one.parentElement) found.unshift(shade(getComputedStyle(one).backgroundColor));
    return found.reduce((below, top) => over(top, below), [255, 255, 255]); };
  const pale = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = texts.nextNode();) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    if (element.closest("svg, script, style, [aria-hidden=true], [disabled]")) continue;
    const back = behind(element), front = over(shade(getComputedStyle(element).color), back);
    const [less, more] = [light(front), light(back)].sort((one, other) => one - other);
    const ratio = (more + 0.05) / (less + 0.05);
    if (ratio < 4.5) pale.push(`${ratio.toFixed(2)}: ${node.data.trim()}`);
  }
  return pale;
}"""
"""Texts that do not stand out from what is behind them as WCAG 2.2 (1.4.3, AA) wants it, with their ratio."""
MOVING = """() => document.getAnimations().filter(
  one => one.playState === "running" && Number.isFinite(one.effect.getComputedTiming().endTime)
).length"""
FRAMES_MS = 50
"""Two frames and more: what begins to come or go, begins within them."""
expect.set_options(timeout=WAIT_S * 1000)


@dataclass(frozen=True)
class Served:
    """A server, and a key for each kind of caller."""

    url: str
    keys: KeyStore
    agent: str
    """Also approver and operator."""
    clerk: str
    """An agent alone, whose effects somebody else approves."""
    reader: str
    issuer: Issuer

    def add(self, name: str, text: str) -> None:
        headers = {"Authorization": f"Bearer {self.agent}"}
        files = {"file": (name, text.encode())}
        added = httpx2.post(f"{self.url}/v1/documents", files=files, headers=headers, timeout=WAIT_S)
        assert added.status_code == 201, added.text


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    stack = stack_in(tmp_path_factory.mktemp("page"))
    issuer = Issuer(stack.with_name("jwks.json"))
    issuer.publish("ec")
    with stack.open("a") as file:
        file.write(f'[tokens]\njwks_file = "{issuer.path}"\nissuer = "{ISSUER}"\naudience = "{AUDIENCE}"\n')
    golden = stack.with_name("golden") / "golden.jsonl"
    golden.parent.mkdir()
    golden.write_text("\n".join(map(json.dumps, GOLDEN)), encoding="utf-8")
    keys = KeyStore.of(load(stack).settings, SystemClock())

    def key(*roles: str) -> str:
        return keys.create(subject=f"{roles[0]}@alder", tenant="alder-clinics", roles=roles)

    given = {"agent": key("agent", "approver", "operator"), "reader": key("reader")}
    given["clerk"] = keys.create(subject="clerk@alder", tenant="alder-clinics", roles=["agent"])
    with serving(stack) as (url, _):
        served = Served(url, keys, issuer=issuer, **given)
        served.add("moon.md", f"# Moon lamp\n\n{FACT}\n")
        served.add("sun.txt", HOSTILE)
        yield served


def stack_in(folder: Path) -> Path:
    """A configuration whose data lie in `folder`."""
    on = ["feedback", "jobs", "office", "page", "planned_agent", "plots", "reports", "structured", "tokens", "value"]
    return stacks.stack(folder, DESK + MORE + QUOTA + stacks.GRAPH, extensions=on)


@contextmanager
def serving(stack: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The server as `make serve` starts it: its address, and its process, which may be killed."""
    log = stack.with_suffix(f".{time.monotonic_ns()}.log")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving.cli", "serve", "--stack", stack],
            stdout=out, stderr=out, cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    try:
        yield _address(process, log), process
    finally:
        process.terminate()
        process.wait(WAIT_S)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    give_up = time.monotonic() + WAIT_S
    while process.poll() is None and time.monotonic() < give_up:
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text(errors="replace")):
            return found[0]
        time.sleep(0.05)
    pytest.fail(log.read_text(errors="replace")[-3000:], pytrace=False)


@pytest.fixture
def context(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """A browser of one test's own. `pytest.mark.parametrize("context", [{...}], indirect=True)` says how it is."""
    context = browser.new_context(**getattr(request, "param", {}))
    context.set_default_timeout(WAIT_S * 1000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, served: Served) -> Iterator[Page]:
    """The form to sign in. Whatever the page asks for comes from our server, and nothing fails in the browser."""
    page = context.new_page()
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if "Content Security" in line.text else None)
    page.goto(served.url)
    yield page
    assert [url for url in asked if not url.startswith((served.url, "data:"))] == []
    assert wrong == []


@pytest.fixture
def deciding(browser: Browser, served: Served) -> Iterator[Page]:
    """The page of an approver in a browser of their own."""
    context = browser.new_context()
    context.set_default_timeout(WAIT_S * 1000)
    page = context.new_page()
    page.goto(served.url)
    sign_in(page, served.agent)
    yield page
    context.close()


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("Question")).to_be_focused()


def ask(page: Page, question: str, status: str = "Answered") -> Any:
    """Ask, and give the place of the answer."""
    page.get_by_label("Question").fill(question)
    page.keyboard.press("Enter")
    turn = page.get_by_role("article").filter(has=page.get_by_role("heading", name=question, exact=True)).last
    expect(turn.get_by_role("status").first).to_have_text(status)
    return turn


def begin_anew(page: Page) -> None:
    """Begin a new conversation, and wait until the turns of the former one are gone from the page."""
    page.get_by_role("button", name="New conversation").click()
    expect(page.get_by_role("article")).to_have_count(0)


def wait_until_still(page: Page) -> None:
    for _ in range(WAIT_S * 1000 // FRAMES_MS):
        page.wait_for_timeout(FRAMES_MS)
        if not page.evaluate(MOVING):
            return
    pytest.fail(f"Something on the page still moves after {WAIT_S} s.")


def broken_rules(page: Page, within: str = "html") -> list[str]:
    """Rules of WCAG 2.2 AA, and of good practice, that axe-core finds broken, each with its first place."""
    wait_until_still(page)  # what fades is pale for as long as it does
    found = Axe().run(page, context=within, options={"resultTypes": ["violations"]})
    return [
        f"{rule['id']}: {rule['nodes'][0]['html'][:200]}: {rule['nodes'][0].get('failureSummary')}"
        for rule in found.response["violations"]
    ]


def test_a_page_is_judged_when_nothing_on_it_fades_any_more(browser: Browser) -> None:
    with closing(browser.new_page()) as page:
        page.set_content(
            "<html lang=en><title>A lamp</title><style>@keyframes come { from { opacity: 0.1; } }"
            "h1 { animation: come 2s steps(1, jump-end); } p { animation: come 1s infinite steps(1, jump-start); }</style>"
            "<main><h1>It comes</h1><p>It blinks</p></main>"
        )
        assert broken_rules(page) == []


def open_view(page: Page, name: str) -> Any:
    page.get_by_role("navigation").get_by_role("button", name=name).click()
    return page.get_by_role("region", name=name)


def test_a_person_signs_in_and_out(page: Page, served: Served) -> None:
    page.get_by_label("API key").fill("sixply_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("no valid API key")
    sign_in(page, served.reader)
    expect(page.get_by_text("reader@alder")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Question")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    page.goto(served.url)
    expect(page.get_by_label("API key")).to_be_visible()


def test_an_answer_comes_with_a_source_that_opens_at_the_span(page: Page, served: Served) -> None:
    sign_in(page, served.reader)
    turn = ask(page, "How long does the moon lamp run?")
    expect(turn).to_contain_text("nine hours")
    turn.get_by_role("button", name="Source 1").first.click()
    source = page.get_by_role("dialog")
    expect(source.get_by_role("heading", name="Moon lamp", level=2)).to_be_visible()
    expect(source.get_by_role("heading", name="Moon lamp", level=3)).to_be_visible()  # of the document itself
    expect(source.locator("mark")).to_have_text(FACT)
    expect(source.locator("mark")).to_be_in_viewport()


def test_an_answer_tells_how_it_was_made(page: Page, served: Served) -> None:
    sign_in(page, served.reader)
    turn = ask(page, "How long does the moon lamp run?")
    turn.get_by_text("How it was made").click()
    spans = turn.locator(".waterfall tbody tr")
    expect(spans.first).to_contain_text("ask page")
    expect(spans.filter(has_text="retrieval").first).to_be_visible()
    bill = turn.locator(".bill")
    for layer in ("foundation", "models", "retrieval", "orchestration", "serving", "observability", "Whole"):
        expect(bill.get_by_role("row", name=layer)).to_be_visible()


def test_the_back_button_goes_to_the_view_before_with_all_that_was_there(page: Page, served: Served) -> None:
    sign_in(page, served.reader)
    turn = ask(page, "How long does the moon lamp run?")
    for name in ("Documents", "Live"):
        expect(open_view(page, name)).to_be_visible()
    page.go_back()
    expect(page.get_by_role("region", name="Documents")).to_be_visible()
    page.go_back()
    expect(turn).to_contain_text("nine hours")
    page.go_forward()
    expect(page.get_by_role("region", name="Documents")).to_be_visible()


def test_two_questions_are_one_conversation_and_two_traces(page: Page, served: Served) -> None:
    sign_in(page, served.reader)
    traces = []
    for question in ("How long does the moon lamp run?", "What weighs two kilograms?"):
        turn = ask(page, question)
        turn.get_by_text("How it was made").click()
        traces.append(turn.locator("code").inner_text())
    assert len(set(traces)) == 2
    begin_anew(page)


def test_an_earlier_conversation_is_opened_gone_on_with_and_deleted(page: Page, served: Served) -> None:
    key = served.keys.create(subject="maja", tenant="alder-clinics", roles=["agent"])
    sign_in(page, key)
    first = "How long does the moon lamp run?"
    turn = ask(page, first)
    turn.get_by_role("button", name="No", exact=True).click()
    turn.get_by_label("What was wrong with it?").fill("Another lamp.")
    turn.get_by_role("button", name="Save").click()
    expect(turn.get_by_text("Saved: no")).to_be_visible()
    turn.get_by_text("How it was made").click()
    trace = turn.locator("code").inner_text()
    begin_anew(page)
    ask(page, "Please refund order QM-10015", "Waits for approval")
    ask(page, "What weighs two kilograms?", "No answer")
    expect(page.get_by_label("Question")).to_have_value("What weighs two kilograms?")
    page.reload()

    earlier = page.get_by_role("complementary", name="Earlier conversations")
    entries = earlier.get_by_role("listitem")
    expect(entries).to_have_count(2)
    expect(entries.first).to_contain_text("QM-10015")
    earlier.get_by_role("button", name=re.compile(rf"^{re.escape(first)}")).click()
    turn = page.get_by_role("article")
    expect(turn).to_have_count(1)
    expect(turn.get_by_role("status").first).to_have_text("Answered")
    expect(turn.get_by_text("Another lamp.")).to_be_visible()
    turn.get_by_text("How it was made").click()
    expect(turn.locator("code")).to_have_text(trace)
    turn.get_by_role("button", name="Source 1").first.click()
    expect(page.get_by_role("dialog").locator("mark")).to_have_text(FACT)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)  # until then Enter may open the source again
    ask(page, "What weighs two kilograms?")
    expect(page.get_by_role("article")).to_have_count(2)
    expect(entries).to_have_count(2)

    entries.last.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(entries).to_have_count(1)
    expect(page.get_by_role("article")).to_have_count(0)
    headers = {"Authorization": f"Bearer {key}"}
    left = httpx2.get(f"{served.url}/v1/conversations", headers=headers, timeout=WAIT_S).json()["conversations"]
    assert [one["question"] for one in left] == ["Please refund order QM-10015"]
    entries.first.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(entries).to_have_count(0)


def test_questions_to_begin_with_are_the_persons_own_tenants_and_of_documents_they_may_read(
    page: Page, served: Served
) -> None:
    sign_in(page, served.reader)
    examples = page.get_by_role("list", name="Examples").get_by_role("listitem")
    expect(examples).to_have_text(["How long does the moon lamp run at night?"])
    examples.get_by_role("button").click()
    expect(page.get_by_role("heading", name="How long does the moon lamp run at night?", level=1)).to_be_attached()
    expect(page.get_by_role("article").get_by_role("status").first).to_have_text("Answered")


def test_without_questions_to_begin_with_there_are_documents_to_read_or_it_is_said_that_there_are_none(
    page: Page, served: Served
) -> None:
    sign_in(page, served.keys.create(subject="wim", tenant="willow", roles=["agent"]))
    expect(page.get_by_text("There is no document yet that you may read.")).to_be_visible()
    page.get_by_role("button", name="Add a file").click()
    willow = {"name": "willow.md", "mimeType": "text/markdown", "buffer": b"# Willow lamp\n\nIt bends.\n"}
    page.get_by_role("dialog").locator("input[type=file]").set_input_files(willow)  # type: ignore[arg-type]
    expect(page.get_by_role("list", name="Examples").get_by_role("listitem")).to_contain_text(["Willow lamp"])
    page.get_by_role("dialog").get_by_role("button", name="Done").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_text("There is no document yet")).to_be_hidden()
    assert broken_rules(page) == []
    page.get_by_role("button", name="Willow lamp").click()
    expect(page.get_by_role("dialog", name="Source")).to_contain_text("It bends.")


@pytest.mark.parametrize("context", [{"reduced_motion": "reduce"}], indirect=True)
def test_a_file_is_added_beside_the_question_and_asked_about(page: Page, served: Served) -> None:
    sign_in(page, served.agent)
    page.get_by_role("button", name="Add a file").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("It becomes a document of your tenant.")
    comet = b"# Comet lamp\n\nThe comet lamp needs eleven volts.\n"
    page.locator("input[type=file]").set_input_files({"name": "comet.md", "mimeType": "text/markdown", "buffer": comet})
    expect(dialog.get_by_role("status").filter(has_text="1 of 1")).to_be_visible()
    # axe takes the backdrop below the dialog for the ground of its buttons; PALE looks at what they stand in
    assert [rule for rule in broken_rules(page, ".q-dialog") if not rule.startswith("color-contrast")] == []
    assert page.evaluate(PALE) == []
    dialog.get_by_role("button", name="Done").click()
    expect(dialog).to_have_count(0)
    turn = ask(page, "How many volts does the comet lamp need?")
    expect(turn.get_by_role("button", name="Source 1: Comet lamp").first).to_be_visible()


def test_a_draft_is_shown_as_markdown_and_kept_when_it_is_stopped(browser: Browser, tmp_path: Path) -> None:
    stack = stacks.stack(
        tmp_path,
        SILENT,
        chat='use = "tests.doubles.slow_writer:build"',
        extensions=["feedback", "jobs", "page", "reports", "tokens"],
    )
    key = KeyStore.of(load(stack).settings, SystemClock()).create(subject="ilka", tenant="alder", roles=["reader"])
    with serving(stack) as (url, _), closing(browser.new_page()) as page:
        page.set_default_timeout(WAIT_S * 1000)
        page.goto(url)
        sign_in(page, key)
        question = "How long does the moon lamp run?"
        page.get_by_label("Question").fill(question)
        page.keyboard.press("Enter")
        turn = page.get_by_role("article")
        expect(turn.locator(".draft strong")).to_have_text("Nine hours")
        expect(turn.locator(".draft li")).to_have_text(["moon lamp", "sun lamp"])
        page.get_by_role("button", name="Stop").click()
        expect(turn.get_by_role("status").first).to_have_text("Stopped")
        expect(turn).to_contain_text("You stopped it")
        expect(turn.locator(".answer strong")).to_have_text("Nine hours")
        expect(turn.get_by_role("button", name="Copy")).to_have_attribute(
            "data-text", re.compile(r"^\*\*Nine hours\*\*")
        )
        expect(turn.get_by_role("alert")).to_have_count(0)
        turn.get_by_role("button", name="Ask again").click()
        expect(page.get_by_role("article")).to_have_count(2)
        last = page.get_by_role("article").last
        expect(last.get_by_role("status").first).to_have_text("Answered")
        expect(last.locator(".answer li")).to_have_text(["moon lamp", "sun lamp"])
        earlier = page.get_by_role("complementary", name="Earlier conversations").get_by_role("listitem")
        expect(earlier).to_have_count(1)


def test_a_file_goes_beside_a_question_for_its_conversation_alone_and_is_deleted_with_it(
    browser: Browser, tmp_path: Path
) -> None:
    stack = stacks.stack(
        tmp_path,
        "[serving.http]\nport = 0\n",
        chat='use = "tests.doubles.file_reader:build"',
        extensions=["feedback", "jobs", "page", "reports"],
    )
    keys = KeyStore.of(load(stack).settings, SystemClock())
    asking = keys.create(subject="ilka", tenant="alder", roles=["reader"])
    other = {"Authorization": f"Bearer {keys.create(subject='otto', tenant='alder', roles=['agent', 'operator'])}"}
    with serving(stack) as (url, _), closing(browser.new_page()) as page:
        page.set_default_timeout(WAIT_S * 1000)
        page.goto(url)
        sign_in(page, asking)
        comet = b"# Comet lamp\n\nThe comet lamp needs eleven volts.\n"
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Attach").click()
        chooser.value.set_files({"name": "comet.md", "mimeType": "text/markdown", "buffer": comet})
        attached = page.get_by_role("status").filter(has_text="comet.md")
        expect(attached).to_contain_text("for this conversation alone")
        assert broken_rules(page) == []
        turn = ask(page, "How many volts does it need?")
        expect(turn).to_contain_text("The comet lamp needs eleven volts.")
        expect(attached).to_have_count(0)
        expect(page.get_by_role("button", name="Attach")).not_to_be_visible()
        again = ask(page, "And once more: how many?")
        expect(again).to_contain_text("The comet lamp needs eleven volts.")
        listed = httpx2.get(f"{url}/v1/documents", headers=other, timeout=WAIT_S).json()["documents"]
        found = httpx2.post(f"{url}/v1/search", json={"query": "comet lamp"}, headers=other, timeout=WAIT_S).json()
        assert (listed, found["hits"]) == ([], [])
        page.get_by_role("complementary", name="Earlier conversations").get_by_role("button", name="More").click()
        page.get_by_role("menuitem", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.get_by_role("article")).to_have_count(0)
        expect(page.get_by_role("button", name="Attach")).to_be_visible()
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"eleven volts" not in kept


@pytest.mark.parametrize(
    "context", [{"permissions": ["clipboard-read", "clipboard-write"], "timezone_id": "Asia/Kolkata"}], indirect=True
)
def test_an_answer_is_copied_with_its_sources_found_by_its_words_and_dated_in_the_persons_time(
    page: Page, served: Served
) -> None:
    sign_in(page, served.keys.create(subject="noor", tenant="alder-clinics", roles=["reader"]))
    turn = ask(page, "How long does the moon lamp run?")
    turn.get_by_role("button", name="Copy").click()
    expect(page.get_by_text("Copied, with its sources.")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert FACT.removesuffix(".") in copied
    assert copied.endswith("[1] Moon lamp (moon.md)")
    turn.get_by_role("button", name="Edit").click()
    expect(page.get_by_label("Question")).to_be_focused()
    expect(page.get_by_label("Question")).to_have_value("How long does the moon lamp run?")
    begin_anew(page)
    ask(page, "What weighs two kilograms?")
    earlier = page.get_by_role("complementary", name="Earlier conversations")
    entries = earlier.get_by_role("listitem")
    expect(entries).to_have_count(2)
    asked_at = datetime.now(UTC).replace(tzinfo=None)
    shown = datetime.strptime(entries.first.locator(".dim").inner_text(), "%d %b %Y, %H:%M")  # noqa: DTZ007 - of Kolkata
    assert shown - asked_at > timedelta(hours=4), "their clock is five hours and a half ahead"
    earlier.get_by_label("Search your conversations").fill("nine hours")
    expect(entries).to_have_count(1)
    expect(entries).to_contain_text("How long does the moon lamp run?")
    earlier.get_by_label("Search your conversations").fill("nothing of this kind")
    expect(earlier.get_by_text("Nothing found.")).to_be_visible()


def test_markup_in_a_document_is_shown_and_never_run(page: Page, served: Served) -> None:
    sign_in(page, served.reader)
    turn = ask(page, "What weighs two kilograms?")
    expect(turn.get_by_text("<script>hacked=1</script>").first).to_be_visible()
    turn.get_by_role("button", name="Source 1").first.click()
    expect(page.get_by_role("dialog").locator("mark")).to_contain_text("<img src=x onerror=hacked=1>")
    assert page.locator("img[src=x]").count() == 0
    assert page.evaluate("typeof hacked") == "undefined"


def test_markup_in_a_question_is_shown_and_never_run(page: Page, served: Served) -> None:
    sign_in(page, served.reader)
    ask(page, "How long does the moon lamp run? <img src=y onerror=hacked=1>")
    assert page.locator("img[src=y]").count() == 0
    assert page.evaluate("typeof hacked") == "undefined"


def test_everything_can_be_done_from_the_keyboard(page: Page, served: Served) -> None:
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.type(served.reader)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Question")).to_be_focused()
    page.keyboard.type("How long does the moon lamp run?")
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Enter")
    expect(page.get_by_role("article").get_by_role("status")).to_have_text("Answered")
    for _ in range(20):  # past what may be said of the answer, to its source
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.className.includes('open')"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").locator("mark")).to_have_text(FACT)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize(
    "context",
    [{"viewport": {"width": 360, "height": 640}, "reduced_motion": "reduce"}],  # a colour on its way to another is pale
    indirect=True,
)
def test_a_narrow_screen_needs_no_sideways_scrolling_and_everything_has_a_name_and_can_be_read(
    page: Page, served: Served
) -> None:
    sign_in(page, served.agent)
    turn = ask(page, "How long does the moon lamp run?")
    turn.get_by_role("button", name="Source 1").first.click()
    expect(page.get_by_role("dialog").locator("mark")).to_be_in_viewport()
    assert broken_rules(page, ".q-dialog") == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Ask").last).to_be_in_viewport(ratio=1)
    for name, shown in (
        ("Documents", "Moon lamp"),
        ("Approvals", "Nothing happens"),
        ("Live", "Net value"),
        ("Ask", "nine hours"),
    ):
        expect(open_view(page, name).get_by_text(shown).first).to_be_visible()
        wide = "[...document.querySelectorAll('.view, html')].filter(one => one.scrollWidth > one.clientWidth).length"
        assert page.evaluate(wide) == 0, name
        nameless = re.findall(NAMELESS, page.locator("body").aria_snapshot(), re.MULTILINE)
        assert nameless == [], name
        for colours in ("dark", "light"):
            page.emulate_media(color_scheme=colours)  # which the page follows
            expect(page.locator("body")).to_have_class(re.compile(f"body--{colours}"))
            assert page.evaluate(PALE) == [], name
            assert broken_rules(page) == [], name
    page.get_by_role("button", name="Earlier").click()
    earlier = page.get_by_role("complementary", name="Earlier conversations")
    expect(earlier.get_by_role("button", name="Close the list")).to_be_focused()
    page.keyboard.press("Escape")
    expect(earlier).not_to_be_visible()
    expect(page.get_by_role("button", name="Earlier")).to_be_focused()


@pytest.mark.parametrize("context", [{"color_scheme": "dark"}], indirect=True)
def test_the_page_is_dark_where_the_system_is_until_somebody_says_otherwise(page: Page, served: Served) -> None:
    sign_in(page, served.reader)
    expect(page.locator("body")).to_have_class(re.compile("body--dark"))
    page.get_by_role("button", name="Light or dark").click()
    expect(page.locator("body")).to_have_class(re.compile("body--light"))
    page.reload()
    expect(page.get_by_label("Question")).to_be_visible()
    expect(page.locator("body")).to_have_class(re.compile("body--light"))


def test_a_token_signs_in_until_its_issuer_withdraws_the_key(page: Page, served: Served) -> None:
    expect(page.get_by_label("API key or token")).to_be_focused()
    sign_in(page, served.issuer.token(sub="tove", tenant="alder-clinics"))
    expect(page.get_by_text("tove")).to_be_visible()
    ask(page, "How long does the moon lamp run?")
    served.issuer.add_ec("next")
    served.issuer.publish("next")
    refused = ask(page, "What weighs two kilograms?", "No answer")
    expect(refused.get_by_role("alert")).to_contain_text("no longer signed in")
    page.reload()
    page.get_by_label("API key or token").fill(served.issuer.token())
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("names no key")


def test_a_key_that_is_revoked_can_ask_nothing_more(page: Page, served: Served) -> None:
    key = served.keys.create(subject="gone", tenant="alder-clinics", roles=["reader"])
    sign_in(page, key)
    served.keys.revoke(next(known.key_id for known in served.keys.list() if known.subject == "gone"))
    page.get_by_label("Question").fill("How long does the moon lamp run?")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("no longer signed in")


def test_questions_count_with_the_requests_of_the_api_and_the_page_says_when_there_is_more(
    page: Page, served: Served
) -> None:
    key = served.keys.create(subject="ivo", tenant="birch", roles=["reader"])
    headers = {"Authorization": f"Bearer {key}"}
    sign_in(page, key)
    ask(page, "How long does the moon lamp run?", "Not found")
    reply = httpx2.get(f"{served.url}/v1/usage", headers=headers, timeout=WAIT_S)
    assert reply.headers["ratelimit"].startswith('"tenant-requests-day";r=0;')
    refused = ask(page, "Does the sun lamp run longer?", "No answer")
    expect(refused.get_by_role("alert")).to_contain_text(
        "used up the quota of 2 requests per day. Try again in 24 hours."
    )
    expect(page.get_by_role("button", name="Ask").last).to_be_visible()
    assert httpx2.get(f"{served.url}/v1/usage", headers=headers, timeout=WAIT_S).status_code == 429


def test_nothing_of_the_page_is_served_to_strangers_and_no_websocket_to_another_site(served: Served) -> None:
    script = "/_nicegui_ws/socket.io/?EIO=4&transport="
    assert httpx2.get(f"{served.url}{script}polling", timeout=WAIT_S).status_code == 401
    socket = served.url.replace("http", "ws") + script + "websocket"
    with pytest.raises(InvalidStatus, match="403"), connect(socket, open_timeout=WAIT_S):
        pass
    with httpx2.Client(base_url=served.url, timeout=WAIT_S) as client:
        client.post("/sign-in", data={"key": served.reader})
        cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in client.cookies.items())}
        assert client.get(f"{script}polling").status_code == 200
        assert client.get(f"{script}polling", headers={"Origin": "https://evil.example"}).status_code == 403
        policy = client.get("/").headers["content-security-policy"]
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    with connect(socket, open_timeout=WAIT_S, additional_headers=cookie, origin=served.url):  # type: ignore[arg-type]
        pass
    with (
        pytest.raises(InvalidStatus, match="403"),
        connect(socket, open_timeout=WAIT_S, additional_headers=cookie, origin="http://evil.example"),
    ):  # type: ignore[arg-type]
        pass


def test_what_waits_is_approved_with_other_arguments_or_rejected_with_a_reason(
    page: Page, deciding: Page, served: Served
) -> None:
    sign_in(page, served.clerk)
    asked = ask(page, "Please refund order QM-10013", "Waits for approval")
    view = open_view(deciding, "Approvals")
    card = view.get_by_role("article").filter(has_text="QM-10013")
    expect(card).to_contain_text("clerk@alder")
    card.get_by_role("button", name="Change and approve").click()
    card.get_by_label("Amount (USD)").fill("1000000")
    card.get_by_role("button", name="Approve this").click()
    expect(card.get_by_role("alert")).to_contain_text("can be refunded, not 1000000.00 USD")
    card.get_by_role("button", name="Change and approve").click()
    card.get_by_label("Amount (USD)").fill("5")
    card.get_by_role("button", name="Approve this").click()
    expect(card.get_by_role("status")).to_have_text("Done")
    expect(card).to_contain_text("QM-10013 has been refunded: 5.00 USD")
    expect(view.get_by_role("listitem").filter(has_text="with other values")).to_be_visible()
    open_view(page, "Ask")
    expect(asked.get_by_role("status").first).to_have_text("Approved by agent@alder")
    expect(asked).to_contain_text("refunded: 5.00 USD")

    begin_anew(page)
    asked = ask(page, "Please refund order QM-10017", "Waits for approval")
    card = view.get_by_role("article").filter(has_text="QM-10017")
    card.get_by_role("button", name="Reject").click()
    card.get_by_role("button", name="Reject").click()
    expect(card).to_contain_text("Say why")
    card.get_by_label("Reason").fill("The photographs show another device.")
    card.get_by_role("button", name="Reject").click()
    expect(card.get_by_role("status")).to_have_text("Rejected")
    expect(view.get_by_role("listitem").filter(has_text="another device")).to_be_visible()


def test_nobody_approves_their_own_on_the_page(page: Page, served: Served) -> None:
    sign_in(page, served.agent)
    ask(page, "Please refund order QM-10021", "Waits for approval")
    card = open_view(page, "Approvals").get_by_role("article").filter(has_text="QM-10021")
    expect(card.get_by_role("note")).to_contain_text("You asked for this yourself")
    expect(card.get_by_role("button", name="Approve")).to_have_count(0)
    expect(card.get_by_role("button", name="Reject")).to_be_visible()


def test_whoever_asked_withdraws_what_waits(page: Page, served: Served) -> None:
    sign_in(page, served.agent)
    turn = ask(page, "Please refund order QM-10021", "Waits for approval")
    turn.get_by_role("button", name="Withdraw").click()
    expect(turn.get_by_role("status").first).to_contain_text("Rejected by")


def test_what_was_asked_twice_is_withdrawn_from_either_conversation(page: Page, served: Served) -> None:
    sign_in(page, served.agent)
    ask(page, "Please refund order QM-10017, the box was open", "Waits for approval")
    begin_anew(page)
    again = ask(page, "Please refund order QM-10017, the box was open", "Waits for approval")
    again.get_by_role("button", name="Withdraw").click()
    expect(again.get_by_role("status").first).to_contain_text("where you asked it first")


def test_a_decider_sees_who_asked_in_which_words_and_that_it_was_asked_before(
    page: Page, deciding: Page, served: Served
) -> None:
    sign_in(page, served.clerk)
    words = "Please refund order QM-10019, the lid broke in transit."
    ask(page, words, "Waits for approval")
    begin_anew(page)
    again = ask(page, words, "Waits for approval")
    expect(again).to_contain_text("You sent the same request at")
    colleague = served.keys.create(subject="colleague@alder", tenant="alder-clinics", roles=["agent"])
    headers = {"Authorization": f"Bearer {colleague}"}
    asked = httpx2.post(f"{served.url}/v1/answers", json={"question": words}, headers=headers, timeout=WAIT_S)
    assert asked.json()["status"] == "waiting", asked.text
    cards = open_view(deciding, "Approvals").get_by_role("article").filter(has_text="QM-10019")
    expect(cards).to_have_count(2)
    expect(cards.first.locator("q")).to_have_text(words)
    expect(cards.first.get_by_role("note")).to_have_count(0)
    expect(cards.last.get_by_role("note")).to_contain_text("The same as above, asked for by clerk@alder")
    cards.first.get_by_role("button", name="Approve", exact=True).click()
    expect(cards.first.get_by_role("status")).to_have_text("Done")
    expect(cards.last.get_by_role("note")).to_contain_text("The same was approved by agent@alder")


def test_who_may_not_decide_sees_why(page: Page, served: Served) -> None:
    sign_in(page, served.reader)
    view = open_view(page, "Approvals")
    expect(view.get_by_role("note")).to_contain_text("needs the role approver")
    expect(view.get_by_role("article")).to_have_count(0)


def test_documents_are_added_refused_read_and_deleted(page: Page, served: Served) -> None:
    sign_in(page, served.agent)
    view = open_view(page, "Documents")
    expect(view.get_by_role("button", name="Choose files")).to_be_visible()
    star = "# Star lamp\n\nThe star lamp is orange.\n"
    page.locator("input[type=file]").set_input_files(
        [
            {"name": "star.md", "mimeType": "text/markdown", "buffer": star.encode()},
            {"name": "broken.docx", "mimeType": "application/zip", "buffer": b"PK no document"},
        ]
    )
    expect(view.get_by_role("status").filter(has_text="2 of 2, 1 refused")).to_be_visible()
    refused = view.get_by_role("list", name="Refused documents").get_by_role("listitem")
    expect(refused).to_contain_text("Malformed")
    expect(refused).to_contain_text('"broken.docx" is not a readable Word document')
    view.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("0 taken in, 1 refused again.")).to_be_visible()

    view.get_by_label("Find by name").fill("star")
    known = view.get_by_role("list", name="Documents", exact=True).get_by_role("listitem")
    expect(known).to_have_count(1)
    view.get_by_role("button", name="Read Star lamp").click()
    expect(page.get_by_role("dialog").get_by_text("The star lamp is orange.")).to_be_visible()
    page.keyboard.press("Escape")
    view.get_by_role("button", name="Delete Star lamp").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(known).to_have_count(0)
    headers = {"Authorization": f"Bearer {served.agent}"}
    left = httpx2.get(f"{served.url}/v1/documents", headers=headers, timeout=WAIT_S).json()["documents"]
    assert "star.md" not in {one["uri"] for one in left}


def test_versions_are_added_with_their_days_for_a_group(page: Page, served: Served) -> None:
    key = served.keys.create(subject="ada", tenant="alder-clinics", roles=["agent"], groups=["board"])
    sign_in(page, key)
    view = open_view(page, "Documents")
    view.get_by_text("Version, dates and who may read").click()
    view.get_by_label("Version of (series)").fill("fees")

    def send(name: str, fee: int) -> None:
        text = f"# Fees\n\nA lamp costs {fee} dollars a month.\n"
        page.locator("input[type=file]").set_input_files(
            {"name": name, "mimeType": "text/markdown", "buffer": text.encode()}
        )

    send("fees-january.md", 5)
    expect(page.get_by_text("Say from which day on")).to_be_visible()
    view.get_by_label("Only for these groups of yours").click()
    page.get_by_role("option", name="board").click()
    page.keyboard.press("Escape")
    for number, (name, since, fee) in enumerate(
        (("fees-january.md", "2026-01-01", 5), ("fees-june.md", "2026-06-01", 6))
    ):
        view.get_by_label("In force from").fill(since)
        send(name, fee)
        expect(view.get_by_role("status").filter(has_text="1 of 1")).to_have_count(number + 1)
    view.get_by_label("Find by name").fill("fees")
    known = view.get_by_role("list", name="Documents", exact=True).get_by_role("listitem")
    expect(known).to_have_count(1)
    expect(known).to_contain_text("in force since 01 Jun 2026")
    expect(known).to_contain_text("only for board")
    known.get_by_text("1 other version").click()
    expect(known.get_by_text("superseded, from 01 Jan 2026")).to_be_visible()
    headers = {"Authorization": f"Bearer {served.reader}"}
    others = httpx2.get(f"{served.url}/v1/documents", headers=headers, timeout=WAIT_S).json()["documents"]
    assert not {"fees-january.md", "fees-june.md"} & {one["uri"] for one in others}


def test_who_may_not_write_sees_why_and_reads(page: Page, served: Served) -> None:
    sign_in(page, served.reader)
    view = open_view(page, "Documents")
    expect(view.get_by_role("note")).to_contain_text("needs the role agent or operator")
    expect(view.get_by_role("button", name="Read Moon lamp")).to_be_visible()
    expect(view.get_by_role("button", name="Delete")).to_have_count(0)
    expect(page.locator("input[type=file]")).to_have_count(0)


def test_what_became_of_an_answer_is_kept_as_it_was_said(page: Page, served: Served) -> None:
    sign_in(page, served.reader)
    turn = ask(page, "How long does the moon lamp run?")
    said = turn.get_by_role("group", name="Was this answer useful?")
    said.get_by_role("button", name="No", exact=True).click()
    said.get_by_role("button", name="Save").click()
    expect(said.get_by_role("alert")).to_contain_text("must not be empty")
    said.get_by_label("What was wrong with it?").fill("It is the old lamp.")
    said.get_by_label("Minutes spent").fill("3")
    said.get_by_role("button", name="Save").click()
    expect(said.get_by_role("status")).to_contain_text("Saved: no, 3 minutes")
    headers = {"Authorization": f"Bearer {served.reader}"}
    kept = httpx2.get(f"{served.url}/v1/feedback", headers=headers, timeout=WAIT_S).json()["feedback"][0]
    assert (kept["verdict"], kept["reason"], kept["minutes"]) == ("rejected", "It is the old lamp.", 3)


def test_an_operator_sees_load_time_money_and_value_and_others_what_is_theirs(page: Page, served: Served) -> None:
    sign_in(page, served.agent)
    ask(page, "How long does the moon lamp run?")
    view = open_view(page, "Live")
    expect(view.get_by_role("group", name="Load of this server")).to_contain_text("turned away")
    for figure in ("Seconds to an answer", "US dollars a day", "Answers a day", "How useful"):
        expect(view.get_by_role("img", name=figure)).to_be_visible()
    expect(view.get_by_role("img", name="Answers a day")).to_have_attribute(
        "aria-label", re.compile("answered, 95 % between")
    )
    expect(view.locator(".chart svg")).to_have_count(4)
    expect(view.get_by_text("at work", exact=False).first).to_be_visible()
    expect(view.get_by_text("Net value a month")).to_be_visible()

    page.get_by_role("button", name="Sign out").click()
    sign_in(page, served.reader)
    view = open_view(page, "Live")
    expect(view.get_by_role("note")).to_contain_text("needs the role operator")
    expect(view.get_by_role("img", name="US dollars a day")).to_be_visible()
    expect(view.get_by_role("group", name="Load")).to_have_count(0)
    expect(view.get_by_text("Net value a month")).to_have_count(0)


def test_an_effect_outlives_a_killed_server_and_is_done_once(browser: Browser, tmp_path: Path) -> None:
    """Asked for, killed, started again, approved: one effect, and one trace that tells all of it."""
    stack = stack_in(tmp_path)
    keys = KeyStore.of(load(stack).settings, SystemClock())
    asking = keys.create(subject="ilka", tenant="alder-clinics", roles=["agent"])
    deciding = keys.create(subject="rufus", tenant="alder-clinics", roles=["approver", "operator"])
    with serving(stack) as (url, process), closing(browser.new_page()) as page:
        page.set_default_timeout(WAIT_S * 1000)
        page.goto(url)
        sign_in(page, asking)
        turn = ask(page, "Please refund order QM-10017", "Waits for approval")
        turn.get_by_text("How it was made").click()
        trace = turn.locator("code").inner_text()
        process.kill()
    assert effects(tmp_path) == []
    with serving(stack) as (url, _), closing(browser.new_page()) as page:
        page.set_default_timeout(WAIT_S * 1000)
        page.goto(url)
        sign_in(page, deciding)
        card = open_view(page, "Approvals").get_by_role("article")
        expect(card).to_contain_text("ilka")
        card.get_by_role("button", name="Approve", exact=True).click()
        expect(card.get_by_role("status")).to_have_text("Done")
        card.get_by_text("How it was made").click()
        expect(card.locator("code")).to_have_text(trace)
        spans = card.locator(".waterfall tbody tr")
        for told, times in (("ask page", 1), ("invoke_agent", 2), ("execute_tool refund", 1)):
            expect(spans.filter(has_text=told)).to_have_count(times)
        value = open_view(page, "Live").locator(".tile").filter(has_text="Net value a month")
        expect(value).to_contain_text("Unknown")
        expect(value).to_contain_text("Nobody has recorded what became of an answer")
    assert effects(tmp_path) == [("refund", "done", "rufus")]


def test_an_open_page_asks_to_sign_in_again_after_a_restart_that_ended_its_session(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = stack_in(tmp_path)
    key = KeyStore.of(load(stack).settings, SystemClock()).create(
        subject="ilka", tenant="alder-clinics", roles=["agent"]
    )
    with closing(browser.new_page()) as page:
        page.set_default_timeout(WAIT_S * 1000)
        with serving(stack) as (url, process):
            page.goto(url)
            sign_in(page, key)
            process.kill()
        monkeypatch.setenv("SIXPLY__SERVING__HTTP__PORT", url.rpartition(":")[2])
        with serving(stack):
            expect(page.get_by_label("API key")).to_be_visible()
            sign_in(page, key)


def effects(folder: Path) -> list[tuple[str, str, str]]:
    """What the ledger of effects and the desk's own database hold together: tool, how it ended, who approved it."""
    found = []
    for name, statement in (
        ("effects", "SELECT tool, result ->> '$.status' FROM effects"),
        ("desk", "SELECT approved_by FROM refunds"),
    ):
        with closing(sqlite3.connect(folder / "var" / f"{name}.sqlite")) as database:
            found.append(database.execute(statement).fetchall())
    return [(*effect, *booked) for effect, booked in zip(*found, strict=True)]

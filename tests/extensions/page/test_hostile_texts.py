"""Markup and scripts through everything that somebody may write and another reads on the page, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from foundation.clock import SystemClock
from serving.access.identity import KeyStore
from serving.settings import load
from tests.doubles.issuer import AUDIENCE, ISSUER, Issuer
from tests.extensions.page.test_page import WAIT_S, ask, open_view, serving, sign_in, stack_in

EVIL = (
    "</script><script>hacked=1</script><img src=//evil.example/x onerror=hacked=1><svg onload=hacked=1>"
    "<iframe src=javascript:parent.hacked=1></iframe><style>@import '//evil.example/s'</style>"
    "{{constructor.constructor('hacked=1')()}}${hacked=1}\"'`--><a href=javascript:hacked=1>"
    "[x](https://evil.example/m)![y](https://evil.example/i)"
)
NAME = "<img src=x onerror=hacked=1>{{hacked=1}}\"'"
"""As `EVIL`, without the slash, which the name of a file does not keep."""
FOUND = """() => ({
  hacked: typeof hacked !== "undefined",
  elements: [...document.querySelectorAll("*")].filter(one =>
    [...one.attributes].some(it => /^on|^srcdoc$/.test(it.name) || /^(href|src|action|data)$/.test(it.name) && /evil|javascript:|^x$/.test(it.value))
    || /^(IFRAME|OBJECT|EMBED|BASE)$/.test(one.tagName) || /^(SCRIPT|STYLE)$/.test(one.tagName) && /evil|hacked/.test(one.textContent)
       && one.type !== "application/json" && !one.textContent.includes("parseElements")).map(one => one.outerHTML.slice(0, 200)),
})"""
HARMLESS = {"hacked": False, "elements": []}


@dataclass(frozen=True)
class Served:
    url: str
    keys: KeyStore
    issuer: Issuer


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    stack = stack_in(tmp_path_factory.mktemp("hostile"))
    issuer = Issuer(stack.with_name("jwks.json"))
    issuer.publish("ec")
    with stack.open("a") as file:
        file.write(f'[tokens]\njwks_file = "{issuer.path}"\nissuer = "{ISSUER}"\naudience = "{AUDIENCE}"\n')
    with serving(stack) as (url, _):
        yield Served(url, KeyStore.of(load(stack).settings, SystemClock()), issuer)


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    context = browser.new_context()
    context.set_default_timeout(WAIT_S * 1000)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    yield page
    assert [url for url in asked if not url.startswith((served.url, "data:"))] == []
    context.close()


def test_markup_that_is_run_would_be_noticed(browser: Browser) -> None:
    page = browser.new_page()
    page.route("**/*", lambda route: route.abort())
    page.set_content(EVIL)
    page.wait_for_function("typeof hacked !== 'undefined'")
    assert len(page.evaluate(FOUND)["elements"]) >= 4
    page.close()


def test_names_and_documents_are_text(page: Page, served: Served) -> None:
    page.goto(f"{served.url}/sign-in?code={EVIL[:200]}")
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("API key or token").fill(EVIL)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert page.evaluate(FOUND) == HARMLESS
    token = served.issuer.token(sub=f"eve {EVIL}", tenant="alder-clinics", roles=["agent"], groups=[f"board {EVIL}"])
    sign_in(page, token)
    expect(page.get_by_text("eve </script>").first).to_be_visible()
    assert page.evaluate(FOUND) == HARMLESS

    view = open_view(page, "Documents")
    text = f"# Lantern {EVIL}\n\nThe lantern {EVIL} weighs two kilograms.\n"
    files = [
        {"name": f"lantern {NAME}.md", "mimeType": "text/markdown", "buffer": text.encode()},
        {"name": f"broken {NAME}.docx", "mimeType": "application/zip", "buffer": b"PK no document"},
    ]
    page.locator("input[type=file]").set_input_files(files)  # type: ignore[arg-type]
    expect(view.get_by_role("status").filter(has_text="2 of 2, 1 refused")).to_be_visible()
    expect(view.get_by_text("broken <img").first).to_be_visible()
    view.get_by_text("Version, dates and who may read").click()
    view.get_by_label("Only for these groups of yours").click()
    expect(page.get_by_role("option", name="board </script>")).to_be_visible()
    page.keyboard.press("Escape")
    view.get_by_label("Version of (series)").fill(f"fees {EVIL}")
    page.locator("input[type=file]").set_input_files({"name": "fees.md", "mimeType": "text/markdown", "buffer": b"# F"})
    expect(page.get_by_text("Say from which day on")).to_contain_text("fees </script>")
    assert page.evaluate(FOUND) == HARMLESS
    view.get_by_role("button", name=re.compile("^Delete Lantern")).click()
    expect(page.get_by_role("dialog")).to_contain_text("Lantern")
    assert page.evaluate(FOUND) == HARMLESS


def test_what_somebody_asked_and_said_of_the_answer_is_text(page: Page, served: Served) -> None:
    key = served.keys.create(subject=f"eve {EVIL}", tenant="alder-clinics", roles=["agent"])
    text = f"# Lamp {EVIL}\n\nThe lamp {EVIL} weighs two kilograms.\n"
    files = {"file": (f"lamp {NAME}.md", text.encode())}
    headers = {"Authorization": f"Bearer {key}"}
    assert httpx2.post(f"{served.url}/v1/documents", files=files, headers=headers, timeout=WAIT_S).status_code == 201
    page.goto(served.url)
    sign_in(page, key)
    question = f"How heavy is the lamp? {EVIL}"
    turn = ask(page, question)
    turn.get_by_role("button", name=re.compile("^Source 1")).first.click()
    expect(page.get_by_role("dialog").locator("mark")).to_contain_text("weighs two kilograms")
    assert page.evaluate(FOUND) == HARMLESS
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    turn.get_by_text("How it was made").click()
    turn.locator(".waterfall").wait_for()
    turn.get_by_role("button", name="With changes").click()
    turn.get_by_label("The text that was used instead").fill(f"Edited {EVIL}")
    turn.get_by_role("button", name="Save").click()
    expect(turn.get_by_text("Edited </script>")).to_be_visible()
    assert page.evaluate(FOUND) == HARMLESS
    page.reload()
    earlier = page.get_by_role("complementary", name="Earlier conversations").get_by_role("listitem")
    expect(earlier).to_have_count(1)
    earlier.get_by_role("button", name=re.compile("^How heavy")).click()
    expect(page.get_by_role("article").get_by_text("Edited </script>")).to_be_visible()
    earlier.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Delete").click()
    expect(page.get_by_role("dialog")).to_contain_text("How heavy")
    assert page.evaluate(FOUND) == HARMLESS
    page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
    open_view(page, "Live").get_by_text("How useful").first.wait_for()
    assert page.evaluate(FOUND) == HARMLESS


def test_what_waits_for_a_colleague_is_text(page: Page, served: Served) -> None:
    asking = served.issuer.token(sub=f"clerk {EVIL}", tenant="alder-clinics", roles=["agent"])
    body = {"question": "Please refund order QM-10013, the <img src=x onerror=hacked=1> broke."}
    headers = {"Authorization": f"Bearer {asking}"}
    reply = httpx2.post(f"{served.url}/v1/answers", json=body, headers=headers, timeout=WAIT_S)
    assert reply.json()["status"] == "waiting", reply.text
    page.goto(served.url)
    lead = served.issuer.token(sub=f"lead {EVIL}", tenant="alder-clinics", roles=["agent", "approver", "operator"])
    sign_in(page, lead)
    view = open_view(page, "Approvals")
    card = view.get_by_role("article").filter(has_text="QM-10013")
    expect(card).to_contain_text("clerk </script>")
    assert page.evaluate(FOUND) == HARMLESS
    card.get_by_role("button", name="Reject").click()
    card.get_by_label("Reason").fill(f"No {EVIL}")
    card.get_by_role("button", name="Reject").click()
    expect(view.get_by_role("listitem").filter(has_text="No </script>")).to_be_visible()
    assert page.evaluate(FOUND) == HARMLESS

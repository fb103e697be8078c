"""The page shows what a strong model writes."""

from __future__ import annotations

import os
import re

from playwright.sync_api import expect, sync_playwright

from tests import services
from tests.doubles.provider import (
    ok,
)
from tests.integration.test_strong_model import (
    QUESTION,
    SEARCH,
    Serve,
    serve,  # noqa: F401 - a fixture
)


def test_the_page_shows_the_markdown_of_a_model_and_nothing_that_could_carry_away_what_is_shown(serve: Serve) -> None:  # noqa: F811
    written = (
        "## Parcels\n\n- A parcel may weigh at most **30 kilograms** [1].\n- It may weigh at most 45 kilograms [1].\n"
        "- For 2 parcels that is 60 kilograms [1].\n\n"
        "| goes | how |\n|---|---|\n| heavier | freight [1] |\n\n<img src=x onerror=hacked=1> ![p](https://evil.example/p?q=1)"
    )
    with serve(SEARCH, ok(written)) as (client, _), sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=services.chromium(), args=sandbox, timeout=120_000)
        page = browser.new_page()
        page.set_default_timeout(120_000)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(str(client.base_url))
        page.get_by_label("API key").fill(client.headers["Authorization"].removeprefix("Bearer "))
        page.get_by_role("button", name="Sign in").click()
        page.get_by_label("Question").fill(QUESTION)
        page.keyboard.press("Enter")
        answer = page.locator(".answer:not(.draft)")
        expect(answer.get_by_role("heading", name="Parcels")).to_be_visible()
        expect(answer.locator("strong")).to_have_text("30 kilograms")
        expect(answer.get_by_role("cell", name="heavier")).to_be_visible()
        expect(answer.locator(".unsupported")).to_have_text(["[?]"])
        expect(answer.locator(".unsupported")).to_have_attribute("title", re.compile("does not support this: .*45"))
        expect(page.get_by_text("Worked out: 60 = 30 × 2")).to_be_visible()
        assert answer.locator("img, a").count() == 0
        answer.get_by_role("button", name="Source 1").first.click()
        expect(page.get_by_text("Heavier parcels go by freight.").last).to_be_visible()
        browser.close()
    assert [url for url in asked if "evil.example" in url] == []

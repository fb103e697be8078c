"""`sixply screenshots`: pictures of the page's views for the documentation, from the support desk, in headless Chromium.

A system of its own answers the demo's questions as its people; nothing of yours is read or shown.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from examples.support_desk.demo import HOME, Story
from foundation.errors import ConfigurationError, MissingDependency
from foundation.types import EVERY_TENANT
from serving.access.identity import KeyStore
from serving.cli import terminal
from serving.server import running
from serving.settings import Loaded
from serving.wiring import open_system

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDTH, HEIGHT = 1200, 800
PHONE = {"width": 390, "height": 780}
WAIT_MS = 60_000
SHOWN = ("cited", "two_documents", "tool", "poisoned", "refund")
"""Scenes of the story that the asker plays, the one on the picture first."""
SAID = ("Yes", "Yes", "With changes", "No")
"""How useful the first of them were, by the names of the buttons."""
COLOURS = 256
"""Of a picture: a page has few, and a third of the bytes is enough."""


def take(configure: Callable[[dict[str, object]], Loaded], folder: Path) -> None:
    """Write the pictures.

    Raises:
        MissingDependency, ConfigurationError: there is no Playwright, or no Chromium.
    """
    from retrieval.ingest.folders import read_folder

    story = Story.read(HOME / "story.toml")
    customer, lead = story.people["customer"], story.people["lead"]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="screenshots-") as data, _browser() as browser:
        loaded = configure({"foundation": {"data_dir": data}})
        with open_system(loaded) as system:
            system.retrieval.ingestor.ingest(list(read_folder(HOME / "corpus", tenant=EVERY_TENANT)))
            keys = KeyStore.of(system.settings, system.context.clock)

            def key(person: Any, *roles: str) -> str:
                return keys.create(subject=person.subject, tenant=person.tenant, roles=[*person.roles, *roles])

            asking, deciding = key(customer), key(lead, "agent", "operator")
            with running(system) as url:
                shot = Shots(browser, url, folder)
                shot.ask([story.scene(name)["question"] for name in SHOWN], asking)
                shot.rest(deciding)
                shot.phone(story.scene("cited")["question"], asking)
    for path in sorted(folder.glob("page-*.png")):
        terminal.console().print(f"{terminal.plain(path)}  {path.stat().st_size // 1000} kB")


class Shots:
    """The pictures, one after the other."""

    def __init__(self, browser: Browser, url: str, folder: Path) -> None:
        self._browser, self._url, self._folder = browser, url, folder

    def ask(self, questions: list[str], key: str) -> None:
        with self._page(key) as page:
            self._asked(page, questions[-1])  # which waits for an approval
            page.get_by_role("button", name="New conversation").click()
            for question, said in zip(questions, SAID, strict=False):
                turn = self._asked(page, question)
                turn.get_by_role("button", name=said, exact=True).click()
                if said == "No":
                    turn.get_by_label("What was wrong with it?").fill("It is about the other printer.")
                turn.get_by_label("Minutes spent").fill("2")
                turn.get_by_role("button", name="Save").click()
                turn.get_by_text("Saved:").wait_for()
                page.get_by_role("button", name="New conversation").click()
            turn = self._asked(page, questions[0])
            turn.get_by_text("How it was made").click()
            turn.get_by_role("table").last.wait_for()
            page.set_viewport_size({"width": WIDTH, "height": 1300})
            page.mouse.move(0, 0)
            self._save(page, "ask")
            page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
            turn.get_by_role("button", name="Source 1").first.click()
            page.locator("mark").wait_for()
            self._save(page, "source")

    def rest(self, key: str) -> None:
        with self._page(key) as page:
            for view, sign, height in (
                ("Documents", "Read", HEIGHT),
                ("Approvals", "Approve", 560),
                ("Live", "Net value", 1640),
            ):
                page.set_viewport_size({"width": WIDTH, "height": height})
                page.get_by_role("navigation").get_by_role("button", name=view).click()
                page.get_by_role("region", name=view).get_by_text(sign).first.wait_for()
                page.mouse.move(0, 0)
                if view == "Live":
                    page.wait_for_timeout(10_000)  # a few looks at the load
                self._save(page, view.lower())

    def phone(self, question: str, key: str) -> None:
        with self._page(key, viewport=PHONE, color_scheme="dark", device_scale_factor=2) as page:
            self._asked(page, question)
            self._save(page, "phone")

    def _asked(self, page: Page, question: str) -> Any:
        page.get_by_label("Question").fill(question)
        page.keyboard.press("Enter")
        turn = page.get_by_role("article").filter(has=page.get_by_role("heading", name=question, exact=True)).last
        turn.get_by_text("How it was made").wait_for()
        return turn

    @contextmanager
    def _page(self, key: str, **how: Any) -> Iterator[Page]:
        context = self._browser.new_context(
            **{
                "viewport": {"width": WIDTH, "height": HEIGHT},
                "color_scheme": "light",
                "reduced_motion": "reduce",
                **how,
            }
        )
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.goto(self._url)
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_label("Question").wait_for()
        yield page
        context.close()

    def _save(self, page: Page, name: str) -> None:
        from PIL import Image

        page.evaluate("document.fonts.ready")
        page.wait_for_timeout(700)  # for what moves to come to rest; a picture, not a test
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        picture = picture.quantize(COLOURS, dither=Image.Dither.NONE)
        picture.save(self._folder / f"page-{name}.png", optimize=True)


@contextmanager
def _browser() -> Iterator[Browser]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise MissingDependency(
            "Pictures need Playwright. Run `make check` or `make test` once: they install it."
        ) from error
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise ConfigurationError("Pictures need Chromium. Install it: apt-get install chromium")
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=sandbox, timeout=WAIT_MS)
        yield browser
        browser.close()

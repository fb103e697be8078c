"""With the extension on, people keep facts over the API and the command line; off, nothing of it is there but its data."""
# ruff: noqa: F811 - a fixture of test_cli.py

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx2

from extensions.facts.store import FILE, SqliteFacts
from foundation.clock import SystemClock
from foundation.types import Principal
from serving.app import create_app
from serving.cli.govern.erasure import stores_of
from serving.settings import load
from serving.wiring import open_system
from tests.doubles.serving import World, world
from tests.doubles.stacks import stack
from tests.integration.test_api import assert_problem, bearer
from tests.unit.serving.test_cli import Done, cli  # noqa: F401

ADA = Principal("ada", "north")


@asynccontextmanager
async def api_of(given: World) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(create_app(given.system))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


async def test_a_person_lists_corrects_and_erases_what_is_remembered_of_them_alone(tmp_path: Path) -> None:
    given = world(tmp_path, extensions=("facts",))
    async with api_of(given) as api:
        await _keep_facts(given, api)


async def _keep_facts(given: World, api: httpx2.AsyncClient) -> None:
    mine, theirs = bearer(given.reader), bearer(given.agent)
    made = await api.post("/v1/facts", headers=mine, json={"text": "Our printers are all QL-20W"})
    assert made.status_code == 201
    fact = f"/v1/facts/{made.json()['fact_id']}"
    assert (await api.get("/v1/facts", headers=theirs)).json()["facts"] == []
    assert_problem(await api.put(fact, headers=theirs, json={"text": "mine"}), 404, "not_found")
    assert_problem(await api.delete(fact, headers=theirs), 404, "not_found")
    assert_problem(await api.put(fact, headers=mine, json={"text": " "}), 422, "invalid_request")
    assert (await api.put(fact, headers=mine, json={"text": "They are QL-40"})).json()["text"] == "They are QL-40"
    assert (await api.delete(fact, headers=mine)).status_code == 204
    assert (await api.get("/v1/facts", headers=mine)).json()["facts"] == []


async def test_off_it_has_no_routes(tmp_path: Path) -> None:
    given = world(tmp_path)
    async with api_of(given) as api:
        assert (await api.get("/v1/facts", headers=bearer(given.reader))).status_code == 404


def test_the_agent_is_told_what_is_remembered_of_the_person_alone(tmp_path: Path) -> None:
    with open_system(load(stack(tmp_path, extensions=["facts"]))) as system:
        system.hooks.service(SqliteFacts).add(ADA, "Our printers are all QL-20W")
        assert system.parts.recall(ADA) == ["Our printers are all QL-20W"]
        assert system.parts.recall(Principal("bo", "north")) == []
    with open_system(load(stack(tmp_path))) as system:
        assert system.parts.recall(ADA) == []


def test_off_its_facts_are_still_erased(tmp_path: Path) -> None:
    stores, _ = stores_of(load(stack(tmp_path)).settings)
    assert "facts" in [store.name for store in stores]


def test_what_is_remembered_of_a_user_is_listed_corrected_and_erased(cli: Callable[..., Done], tmp_path: Path) -> None:
    with closing(SqliteFacts(tmp_path / "var" / FILE, SystemClock())) as facts:
        kept = [facts.add(Principal(one, "north"), "We use QL-20W") for one in ("ada", "ada", "bo")]
    whose = ("--tenant", "north", "--user", "ada")
    assert cli("facts", "correct", kept[0].fact_id, "We use QL-40", *whose).returncode == 0
    listed = json.loads(cli("facts", *whose, "--json", "-").stdout)
    assert [one["text"] for one in listed] == ["We use QL-40", "We use QL-20W"]
    assert cli("facts", "erase", kept[2].fact_id, *whose).returncode == 2
    assert cli("facts", "erase", *whose).returncode == 2
    assert cli("facts", "erase", "", *whose).returncode == 2, "an empty name is not all of them"
    assert "Erased: 2." in cli("facts", "erase", "--all", *whose).stdout
    assert "We use QL-20W" in cli("facts", "--tenant", "north", "--user", "bo").stdout

"""Sixply as an MCP server, driven by the official client: over HTTP behind our keys, and over standard input and output."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from extensions.mcp_server import command, routes
from extensions.mcp_server.server import markdown_values
from foundation.machine.manifest import product_version
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.access.identity import KeyStore
from serving.app import create_app
from serving.cli.main import list_commands
from serving.server import running
from serving.settings import load
from serving.wiring import open_system
from tests.doubles import stacks
from tests.doubles.serving import World, world
from tests.unit.foundation.test_rendering import ACTIVE, TEXTS

ROOT = Path(__file__).parents[3]
MORE = """
[orchestration.answers]
compose = "extractive"
[serving.http]
port = 0
grace_s = 4
"""
FACT = "The moon lamp runs for nine hours."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mcp")
    stacks.stack(folder, MORE, extensions=["mcp_server"])
    return folder


@pytest.fixture(scope="module")
def keys(folder: Path) -> dict[str, str]:
    """A key a tenant; the north has a document."""
    with open_system(load(folder / "stack.toml")) as system:
        system.retrieval.ingestor.ingest(
            [Item(Source(uri="moon.md", tenant="north"), f"# Lamps\n\n{FACT}\n".encode(), "moon.md")]
        )
        store = KeyStore.of(system.settings, system.context.clock)
        return {name: store.create(subject=name, tenant=name, roles=["reader"]) for name in ("north", "south")}


@pytest.fixture(scope="module")
def url(folder: Path, keys: dict[str, str]) -> Iterator[str]:
    assert keys
    with open_system(load(folder / "stack.toml")) as system, running(system) as url:
        yield f"{url}/mcp"


@asynccontextmanager
async def connected(url: str, key: str) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


async def drive(client: Client) -> None:
    """What a client of the north finds, by whichever way it came."""
    listed = await client.list_tools()
    assert {tool.name for tool in listed.tools} == {"search", "answer", "documents"}
    assert all(tool.description for tool in listed.tools)

    found = (await client.call_tool("search", {"query": "moon lamp", "limit": 3})).structured_content
    assert found is not None
    assert [hit["citation"]["quote"] for hit in found["hits"]] == [FACT]

    given = (await client.call_tool("answer", {"question": "How long does the moon lamp run?"})).structured_content
    assert given is not None
    assert (given["status"], given["citations"][0]["quote"]) == ("answered", FACT)
    more = {"question": "And the moon lamp's hours?", "thread_id": given["thread_id"]}
    again = (await client.call_tool("answer", more)).structured_content
    assert again is not None
    assert again["thread_id"] == given["thread_id"]

    documents = (await client.call_tool("documents", {})).structured_content
    assert documents is not None
    assert [one["uri"] for one in documents["documents"]] == ["moon.md"]


async def test_a_client_over_http_sees_what_its_key_may_see(url: str, keys: dict[str, str]) -> None:
    async with connected(url, keys["north"]) as client:
        await drive(client)
    async with connected(url, keys["south"]) as client:
        for tool, arguments in (("search", {"query": "moon lamp"}), ("documents", {})):
            seen = (await client.call_tool(tool, arguments)).structured_content
            assert seen is not None
            assert list(seen.values()) == [[]]
        asked = (await client.call_tool("answer", {"question": "How long does the moon lamp run?"})).structured_content
        assert asked is not None
        assert asked["status"] == "abstained"


async def test_bad_calls_are_told_to_the_client(url: str, keys: dict[str, str]) -> None:
    async with connected(url, keys["north"]) as client:
        for tool, arguments, told in (
            ("answer", {"question": "Why?", "thread_id": "never-heard-of"}, "not_found"),
            ("answer", {"question": " "}, "invalid_request"),
            ("answer", {"question": "x" * 10_000}, "too_large"),
            ("search", {"query": "x", "limit": 1000}, "limit"),
            ("refund", {}, "refund"),
        ):
            result = await client.call_tool(tool, arguments)
            assert result.is_error
            assert told in str(result.content)


async def test_without_a_key_nobody_gets_in(url: str) -> None:
    async with httpx2.AsyncClient(timeout=60) as http:
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        for headers in ({}, {"Authorization": "Bearer sixply_wrong"}):
            assert (await http.post(url, json=message, headers=headers)).status_code == 401
    with pytest.raises(BaseException):  # noqa: B017 - anyio wraps it in a group
        async with connected(url, "sixply_wrong"):
            pass


async def test_a_page_of_another_site_gets_nothing_even_with_a_key(url: str, keys: dict[str, str]) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {"Authorization": f"Bearer {keys['north']}", "Accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        for origin in ("https://evil.example", "null", "http://localhost:1"):
            assert (await http.post(url, json=message, headers={"Origin": origin})).status_code == 403
        own = {"Origin": url.removesuffix("/mcp")}
        assert (await http.post(url, json=message, headers=own)).status_code == 200
        rebound = await http.post(url, json=message, headers={"Host": "evil.example", "Origin": "http://evil.example"})
        assert rebound.status_code == 400


async def test_a_client_that_starts_us_is_whom_the_key_in_its_environment_says(
    folder: Path, keys: dict[str, str]
) -> None:
    """No server runs meanwhile: one process owns the store."""
    command = ["-m", "serving.cli", "mcp", "--tenant", "south", "--stack", str(folder / "stack.toml")]
    env = {"SIXPLY_API_KEY": keys["north"], "PATH": os.environ["PATH"]}
    started = StdioServerParameters(command=sys.executable, args=command, env=env, cwd=ROOT)
    async with Client(started) as client:
        assert client.server_info is not None
        assert client.server_info.version == product_version()
        await drive(client)


@pytest.mark.parametrize(("error", "quiet"), [(BrokenPipeError(), True), (ValueError("a defect"), False)])
def test_a_client_that_is_gone_while_a_reply_is_due_is_no_error_and_a_defect_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, *, quiet: bool
) -> None:
    class Double:
        def run(self, transport: str) -> None:
            raise ExceptionGroup("the double's writer", [error])

    monkeypatch.setattr("serving.cli.opening.open_or_ask", lambda *_: nullcontext())
    monkeypatch.setattr("extensions.mcp_server.server.mcp_server", lambda *parts: Double())
    with nullcontext() if quiet else pytest.raises(ExceptionGroup, match="the double's writer"):
        command.mcp(tenant="north", stack=folder / "stack.toml")


@asynccontextmanager
async def api_of(given: World) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=create_app(given.system))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as api:
        yield api


async def test_a_message_has_the_limit_of_any_json(tmp_path: Path) -> None:
    given = world(tmp_path, extensions=("mcp_server",))
    async with api_of(given) as api:
        long = b'"' + b"x" * 1_100_000 + b'"'
        assert (
            await api.post("/mcp", content=long, headers={"Authorization": f"Bearer {given.reader}"})
        ).status_code == 413


async def test_the_server_is_opened_once_by_the_first_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, opened, really_open = world(tmp_path, extensions=("mcp_server",)), list[str](), routes._open_server

    def open_server(runtime: Any) -> Any:
        opened.append("opened")
        return really_open(runtime)

    monkeypatch.setattr(routes, "_open_server", open_server)
    app = create_app(given.system)
    headers = {"Authorization": f"Bearer {given.reader}", "Accept": "application/json, text/event-stream"}
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as api,
    ):
        assert (await api.get("/health/live")).status_code == 200
        assert opened == []
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        replies = await asyncio.gather(*(api.post("/mcp", json=message) for _ in range(3)))
    assert [reply.status_code for reply in replies] == [200] * 3
    assert opened == ["opened"]


async def test_while_it_is_off_there_is_no_route_and_no_command(tmp_path: Path) -> None:
    given = world(tmp_path)
    async with api_of(given) as api:
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        assert (
            await api.post("/mcp", json=message, headers={"Authorization": f"Bearer {given.reader}"})
        ).status_code == 404
    assert "mcp" not in [command for group in list_commands([]).values() for command in group]
    assert "mcp" in [command for group in list_commands(["mcp_server"]).values() for command in group]


@pytest.mark.parametrize("text", TEXTS)
def test_markup_anywhere_in_a_result_is_shown_and_not_obeyed(text: str) -> None:
    shown = markdown_values({"hits": [{"quote": text, "score": 0.5}]})
    assert not ACTIVE.search(shown["hits"][0]["quote"]), shown
    assert shown["hits"][0]["score"] == 0.5


def test_titles_and_names_in_a_result_are_on_one_line() -> None:
    title = "T\n[9]: javascript:alert(1)"
    shown = markdown_values({"title": title, "documents": [{"name": title}], "text": title})
    assert "\n" not in shown["title"] + shown["documents"][0]["name"]
    assert "\n" in shown["text"], "a text keeps its lines"

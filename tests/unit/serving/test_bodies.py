"""What a body may be, before anything is built from it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import starlette.requests
from hypothesis import given as examples
from hypothesis import settings, strategies

from foundation.errors import TooLarge
from foundation.types import Principal
from serving.app import create_app
from serving.http import bodies
from serving.http.bodies import MAX_NESTING, MAX_VALUES, BodyLimits, check_json, handed_on
from serving.http.errors import FIELDS_SHOWN, PLACE_SHOWN, BodyRefused
from serving.http.rules import list_upload_paths
from tests.doubles.serving import World, world

BAD_LEAF = {"key": "k", "bad": 1}


@pytest.fixture
def given(tmp_path: Path) -> World:
    return world(tmp_path)


@pytest.fixture
async def api(given: World) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(create_app(given.system))
    headers = {"Authorization": f"Bearer {given.reader}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        yield client


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (1 if isinstance(value, dict | list) else 0) + max((depth(one) for one in inner), default=0)


JSON = strategies.recursive(
    strategies.none() | strategies.integers() | strategies.text(alphabet='a"\\,[]{}:é'),
    lambda inner: strategies.lists(inner) | strategies.dictionaries(strategies.text(alphabet='k"\\,{'), inner),
)


@examples(JSON)
@settings(max_examples=40)
def test_the_levels_counted_are_those_of_the_parsed_json(value: Any) -> None:
    marks = bodies._STRING.sub(b"", json.dumps(value).encode())
    assert b'"' not in marks
    assert bodies._levels(marks) == depth(value)


def test_commas_and_brackets_in_texts_count_for_nothing() -> None:
    check_json(json.dumps({"question": "[{,]" * 100_000}).encode())
    check_json(json.dumps({"question": '\\"[,"' * 100_000}).encode())


@pytest.mark.parametrize("separators", [(",", ":"), (" ,\n", " : ")])
def test_one_value_too_many_is_too_many(separators: tuple[str, str]) -> None:
    check_json(json.dumps([0] * (MAX_VALUES - 1), separators=separators).encode())
    with pytest.raises(TooLarge, match="has 10,002 values; at most 10,000"):
        check_json(json.dumps([0] * (MAX_VALUES + 1), separators=separators).encode())


def test_one_level_too_many_is_too_many() -> None:
    check_json(b"[" * MAX_NESTING + b"]" * MAX_NESTING)
    with pytest.raises(TooLarge, match="nested 65 levels deep"):
        check_json(b"[" * (MAX_NESTING + 1) + b"]" * (MAX_NESTING + 1))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32-be"])
def test_values_are_counted_where_half_of_a_letter_looks_like_a_quote(encoding: str) -> None:
    with pytest.raises(TooLarge, match="has 20,003 values"):
        check_json(json.dumps(["\u2230", *[0] * 20_000, "\u2230"], ensure_ascii=False).encode(encoding))


@pytest.mark.parametrize("body", [b'"', b'"\\', b'"\\"', b'\\"', b"]", b"}}", b"", b"\xff"])
def test_bytes_that_are_no_json_are_left_to_the_parser(body: bytes) -> None:
    check_json(body)
    check_json(body * 5_000)


WORST = {
    "/v1/search": {"query": "x", "where": {"all": [{"any": [{"all": [BAD_LEAF] * 50}] * 50}] * 50}},
    "/v1/answers": {"question": "x"} | {f"unknown{number}": 1 for number in range(20_000)},
}


@pytest.mark.parametrize("path", WORST)
async def test_a_body_of_too_many_values_is_413_before_it_is_checked(
    api: httpx2.AsyncClient, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starlette.requests.Request, "json", lambda _: pytest.fail("it was parsed"))
    reply = await api.post(path, content=json.dumps(WORST[path]).encode(), headers={"Content-Type": "application/json"})
    assert (reply.status_code, "too_large" in reply.text) == (413, True)
    assert len(reply.content) < 1_000


async def test_at_most_twenty_fields_are_told_and_their_names_are_cut(api: httpx2.AsyncClient) -> None:
    unknown = {f"{number}" + "u" * 5_000: 1 for number in range(100)}
    problem = (await api.post("/v1/answers", json={"question": "x"} | unknown)).json()
    assert len(problem["fields"]) == FIELDS_SHOWN
    assert all(len(field["location"]) <= PLACE_SHOWN for field in problem["fields"])
    assert len(problem["detail"]) < 2_000


async def test_a_wrong_condition_deep_in_a_filter_is_named_once(api: httpx2.AsyncClient) -> None:
    where = {"all": [{"any": [{"key": "k", "in": ["a"]}, BAD_LEAF, BAD_LEAF]}]}
    problem = (await api.post("/v1/search", json={"query": "x", "where": where})).json()
    assert [field["location"] for field in problem["fields"]] == ["body.where.all.0.any.1.bad"]


async def test_of_a_filter_with_too_many_conditions_nothing_is_built(api: httpx2.AsyncClient) -> None:
    where = {"all": [{"any": [BAD_LEAF] * 40}] * 40}
    problem = (await api.post("/v1/search", json={"query": "x", "where": where})).json()
    assert "has 1,600 and 0" in problem["detail"]
    assert [field["location"] for field in problem["fields"]] == ["body.where"], "no condition was looked at"


async def test_every_route_that_takes_a_file_is_an_upload_and_no_other(given: World) -> None:
    app = create_app(given.system)
    forms = {
        path
        for path, operations in app.openapi()["paths"].items()
        for operation in operations.values()
        if "multipart/form-data" in operation.get("requestBody", {}).get("content", {})
    }
    assert forms == list_upload_paths(app)


async def test_attributes_of_a_document_are_bounded_like_any_json(given: World, api: httpx2.AsyncClient) -> None:
    attributes = json.dumps({f"k{number}": {} for number in range(MAX_VALUES)})
    reply = await api.post(
        "/v1/documents",
        files={"file": ("a.md", b"text")},
        data={"attributes": attributes},
        headers={"Authorization": f"Bearer {given.agent}"},
    )
    assert (reply.status_code, reply.json()["code"]) == (413, "too_large")
    assert not given.system.retrieval.ledger.stored


async def test_a_json_body_has_a_lower_limit_than_an_upload(given: World, api: httpx2.AsyncClient) -> None:
    assert (await api.post("/v1/search", content=b'"' + b"x" * 1_100_000 + b'"')).status_code == 413
    uploaded = await api.post(
        "/v1/documents",
        files={"file": ("a.md", b"text " * 400_000)},
        headers={"Authorization": f"Bearer {given.agent}"},
    )
    assert uploaded.status_code == 201


async def test_bodies_that_together_are_too_large_are_refused_for_now_and_forgotten_when_read(
    given: World, api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = {"type": "http", "path": "/v1/documents", "headers": [(b"content-length", b"60")]}
    refused: list[BodyRefused] = []

    async def sixty_bytes() -> dict[str, Any]:
        return {"type": "http.request", "body": b"x" * 60}

    async def read(scope: dict[str, Any], receive: Any, send: Any) -> None:
        """While the first body is held, another one comes."""
        try:
            await receive()
        except BodyRefused as error:
            refused.append(error)
        else:
            await limits({**scope}, sixty_bytes, send)

    limits = BodyLimits(read, given.system.settings.serving.http, uploads=["/v1/documents"], below=())  # type: ignore[arg-type]
    monkeypatch.setattr(limits, "_room", 100)
    await limits(upload, sixty_bytes, sixty_bytes)  # type: ignore[arg-type]
    assert [(error.error.retryable, error.status_code) for error in refused] == [(True, 503)]
    assert not limits._held


async def test_the_bodies_of_one_tenant_leave_room_for_those_of_another(
    given: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_in: list[str] = []

    async def forty_bytes() -> dict[str, Any]:
        return {"type": "http.request", "body": b"x" * 40}

    async def read(scope: dict[str, Any], receive: Any, send: Any) -> None:
        """While its body is held, the next one comes."""
        tenant = scope["state"]["principal"].tenant
        with suppress(BodyRefused):
            await receive()
            let_in.append(tenant)
        if scope["next"]:
            await limits(upload(*scope["next"]), forty_bytes, send)

    def upload(tenant: str, *others: str) -> Any:
        head = {"type": "http", "path": "/v1/documents", "headers": [(b"content-length", b"40")]}
        return head | {"state": {"principal": Principal("ann", tenant)}, "next": others}

    limits = BodyLimits(read, given.system.settings.serving.http, uploads=["/v1/documents"], below=())  # type: ignore[arg-type]
    monkeypatch.setattr(limits, "_room", 130)
    await limits(upload("evil", "evil", "evil", "good", "good"), forty_bytes, forty_bytes)  # type: ignore[arg-type]
    assert let_in == ["evil", "evil", "good"]
    assert not limits._held


async def test_no_room_for_an_upload_is_503_and_not_a_defect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "WHOLE_BODIES", 0)
    given = world(tmp_path)
    transport = httpx2.ASGITransport(create_app(given.system))
    headers = {"Authorization": f"Bearer {given.agent}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as api:
        replies = [
            await api.post("/v1/documents", files={"file": ("a.md", b"text")}),
            await api.post("/v1/documents", files={"file": ("a.md", b"text")}, headers={"Idempotency-Key": "k"}),
            await api.post("/v1/search", json={"query": "x"}),
        ]
    assert [(reply.status_code, reply.json()["code"], reply.headers["retry-after"]) for reply in replies] == [
        (503, "overloaded", "1")
    ] * 3


async def test_a_large_body_is_handed_on_in_pieces() -> None:
    async def after() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    receive = handed_on(b"x" * 200_000, after)
    messages = [await receive() for _ in range(5)]
    assert [len(message.get("body", b"")) for message in messages] == [65_536, 65_536, 65_536, 3_392, 0]
    assert [message.get("more_body") for message in messages] == [True, True, True, False, None]

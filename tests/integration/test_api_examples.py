"""The OpenAPI document is executed: every operation declares its errors, and every example of it works."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from foundation.extensions import installed
from serving.app import create_app
from serving.http.errors import MEDIA_TYPE
from tests.doubles.serving import TEXT, World, world

PUBLIC = ("/health/",)
COMMON = {"400", "401", "403", "413", "503"}
LAST = ("delete",)
"""What takes away what other examples need."""


@pytest.fixture
def given(tmp_path: Path) -> World:
    return world(tmp_path, extensions=tuple(installed()))


@pytest.fixture
def document(given: World) -> dict[str, Any]:
    return create_app(given.system).openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    found = [(method, path, one) for path, methods in document["paths"].items() for method, one in methods.items()]
    yield from sorted(found, key=lambda one: (one[0] in LAST, one[1] == "/v1/documents/{document_id}"))


def resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        _, *way = part["$ref"].split("/")
        part = document
        for step in way:
            part = part[step]
    return part


def examples(document: dict[str, Any], schema: dict[str, Any]) -> list[Any]:
    """Those of the schema as a whole, of its alternatives, or one put together from those of its members."""
    schema = resolved(document, schema)
    whole = [
        *schema.get("examples", []),
        *(one for kind in schema.get("oneOf", []) for one in examples(document, kind)),
    ]
    members = {name: examples(document, schema["properties"][name])[:1] for name in schema.get("required", [])}
    return whole or ([{name: one for name, (one,) in members.items()}] if members and all(members.values()) else [])


def paths_with_errors_of_their_own(given: World) -> tuple[str, ...]:
    return tuple(path for surface in given.system.hooks.surfaces if surface.shape for path in surface.paths)


def test_every_operation_declares_the_errors_that_any_request_can_get(given: World, document: dict[str, Any]) -> None:
    vendors = paths_with_errors_of_their_own(given)
    for method, path, operation in operations(document):
        if path.startswith(PUBLIC):
            continue
        common = COMMON if path.startswith(vendors) else {*COMMON, "422"}
        missing = common - operation["responses"].keys()
        assert not missing, f"{method} {path} does not declare {missing}: responses=responses(...)"
        if "{" in path and method != "put":
            assert "404" in operation["responses"], f"{method} {path} does not say that there may be no such thing"


def test_errors_are_declared_in_the_status_and_the_media_type_that_callers_get(
    given: World, document: dict[str, Any]
) -> None:
    vendors = paths_with_errors_of_their_own(given)
    for method, path, operation in operations(document):
        vendor = path.startswith(vendors)
        assert not (vendor and "422" in operation["responses"]), f"{method} {path} answers 400"
        if not path.startswith(PUBLIC):
            media = operation["responses"]["400"]["content"].keys()
            assert media == {"application/json" if vendor else MEDIA_TYPE}, f"{method} {path}"


def _is_late(operation: tuple[str, str, dict[str, Any]]) -> bool:
    """Whether what it needs comes of another operation, or is needed by others: a conversation is deleted last."""
    method, path, _ = operation
    return "/responses" in path or (method == "delete" and path == "/v1/conversations/{thread_id}")


async def test_every_example_works(given: World, document: dict[str, Any]) -> None:
    transport = httpx2.ASGITransport(create_app(given.system))
    headers = {"Authorization": f"Bearer {given.all_roles}"}
    asked_by = {"Authorization": f"Bearer {given.key('reader', subject='ada')}"}  # only who asked withdraws it
    ran = 0
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as api:
        first = await api.post("/v1/documents", files={"file": ("double.md", TEXT.encode())})
        assert first.status_code == 201
        # what waits in the background is found once jobs have been begun
        for method, path, operation in sorted(operations(document), key=_is_late):
            values, query = {}, {}
            for parameter in (resolved(document, one) for one in operation.get("parameters", [])):
                known = examples(document, parameter["schema"]) or parameter.get("examples", [])
                assert known or not parameter["required"], f"{method} {path}: {parameter['name']} has no example"
                if known:
                    (values if parameter["in"] == "path" else query)[parameter["name"]] = known[0]
            media = operation.get("requestBody", {}).get("content", {})
            if "multipart/form-data" in media:
                field = "files" if "jobs" in path else "file"
                bodies: list[dict[str, Any]] = [{"files": {field: ("other.md", TEXT.encode())}}]
            elif media:
                bodies = [{"json": one} for one in examples(document, media["application/json"]["schema"])]
                assert bodies, f"{method} {path} has no example of its body"
            else:
                bodies = [{}]
            for body in bodies:
                asks = {"headers": asked_by} if method == "delete" and "/approvals/" in path else {}
                given.system.agent.decided.clear()  # the same request is decided in one example, and withdrawn in another
                response = await api.request(method.upper(), path.format(**values), params=query, **body, **asks)
                assert response.is_success, f"{method} {path} {body}: {response.text}"
                assert str(response.status_code) in operation["responses"]
                ran += 1
    assert ran >= 20

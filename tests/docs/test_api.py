"""The page docs/api.md is executed: each request is sent, each reply must contain what the page shows, each table must be whole."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from extensions.openai_api.errors import UnsupportedParameter
from extensions.openai_api.vendors import IGNORED, MODELS, SETTINGS
from foundation.errors import ComponentError, RequestError, SixplyError
from foundation.extensions import installed
from serving.access.identity import ROLES
from serving.server import running
from tests.doubles.serving import TEXT, World, world

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
REQUEST = re.compile(r"^(GET|POST|DELETE) (\S+)(?: .*)?(?:\n(\{.*\}))?$", re.MULTILINE)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def given(tmp_path: Path) -> World:
    return world(tmp_path, extensions=tuple(installed()))


@pytest.fixture
def base_url(given: World) -> Iterator[str]:
    with running(given.system) as url:
        yield url


def send(base_url: str, key: str, method: str, path: str, body: str | None) -> httpx2.Response:
    url = base_url + path.format(
        document_id="doc-1", approval_id="ap-1", answer_id="a-1", thread_id="t-1", job_id="job-1", fact_id="fact-1"
    )
    field = {"/v1/documents": "file", "/v1/jobs/ingest": "files"}.get(path) if method == "POST" else None
    upload = {field: ("double.md", TEXT.encode())} if field else None
    headers = {"Authorization": f"Bearer {key}"}
    content = json.loads(body) if body else None
    return httpx2.request(method, url, headers=headers, json=content, files=upload, timeout=60)


def test_every_request_of_the_page_works_in_its_order(given: World, base_url: str) -> None:
    found = [request for block in blocks("http") for request in REQUEST.findall(block)]
    assert len(found) >= 9
    for method, path, body in found:
        response = send(base_url, given.all_roles, method, path, body or None)
        assert response.status_code in {200, 201, 202, 204}, f"{method} {path}: {response.text}"


def test_the_replies_that_the_page_shows_are_real(given: World, base_url: str) -> None:
    answer, problem = (json.loads(block) for block in blocks("json"))
    replied = send(base_url, given.reader, "POST", "/v1/answers", '{"question": "When does it ship?"}').json()
    assert answer.items() <= replied.items()
    refused = send(base_url, "sixply_wrong", "GET", "/v1/documents", None).json()
    assert problem.items() <= refused.items()


@pytest.mark.parametrize(("number", "kind"), [(0, openai.OpenAI), (1, anthropic.Anthropic)])
def test_the_examples_for_other_vendors_clients_run(
    given: World, base_url: str, capsys: pytest.CaptureFixture[str], number: int, kind: type
) -> None:
    examples = blocks("python")
    assert len(examples) == 2
    names: dict[str, Any] = {"base_url": base_url, "key": given.reader}
    exec(compile(examples[number], "docs/api.md", "exec"), names)
    client = names["client"]
    assert isinstance(client, kind)
    client.close()
    assert "The double ships on Tuesdays [1]." in capsys.readouterr().out


def test_roles_models_and_parameters_are_all_named() -> None:
    for name in (*ROLES, *MODELS, *IGNORED, *SETTINGS):
        assert f"`{name}`" in PAGE, name


@pytest.mark.usefixtures("base_url")  # a running server has imported every error
def test_every_code_that_is_named_exists_and_every_callers_code_is_named() -> None:
    def tree(kind: type[SixplyError]) -> Iterator[type[SixplyError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from tree(child)

    table = PAGE.partition("| status | codes |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", table))
    callers = {
        kind.code
        for kind in tree(RequestError)
        if kind.__module__
        in {
            "foundation.errors",
            "serving.http.errors",
            "extensions.idempotency.replies",
            "extensions.openai_api.errors",
        }
    }
    assert callers <= named
    assert named <= callers | {kind.code for kind in tree(ComponentError)}
    assert UnsupportedParameter.code in named

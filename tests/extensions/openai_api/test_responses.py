"""OpenAI's own client on its newer API, `responses`, pointed at us by `base_url` and nothing else."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import pytest

from serving.server import running
from tests.doubles.serving import FakeSystem, World, world

TEXT = "The double ships on Tuesdays [1].\n\n[1] The double (double.md, characters 0-29)"
TOOL = {"type": "function", "name": "f", "parameters": {}}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("responses"), extensions=("forks", "jobs", "openai_api", "structured"))


@pytest.fixture(scope="module")
def base_url(given: World) -> Iterator[str]:
    with running(given.system) as url:
        yield f"{url}/v1"


@pytest.fixture
def client(given: World, base_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key=given.reader, max_retries=0) as client:
        yield client


def test_a_response_has_the_text_its_citations_and_usage(client: openai.OpenAI) -> None:
    response = client.responses.create(model="sixply", input="When does it ship?", instructions="Be brief.")
    assert (response.status, response.output_text) == ("completed", TEXT)
    assert response.usage
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (7, 3, 10)
    (content,) = response.output[0].content
    (cited,) = content.annotations
    assert (cited.type, cited.file_id, cited.filename) == ("file_citation", "doc-1", "double.md")
    assert response.output_text[cited.index :].startswith("[1]")
    assert response.model_extra
    assert response.model_extra["sixply"]["trace_id"]


def test_a_conversation_goes_on_by_the_last_response_or_by_its_name(client: openai.OpenAI, given: World) -> None:
    first = client.responses.create(model="sixply", input="When?")
    client.responses.create(model="sixply-extractive", input="And where?", previous_response_id=first.id)
    request, _ = given.system.agent.asked[-1]
    assert (request.question, request.thread_id, request.compose) == ("And where?", "t-1", "extractive")
    history = [
        {"role": "user", "content": [{"type": "input_text", "text": "When?"}]},
        *[item.model_dump() for item in first.output],
        {"type": "message", "role": "user", "content": "And why?"},
    ]
    client.responses.create(model="sixply", input=history, conversation="t-7")
    request, _ = given.system.agent.asked[-1]
    assert (request.question, request.thread_id, request.earlier) == ("And why?", "t-7", ())
    client.responses.create(model="sixply", input=history)
    request, _ = given.system.agent.asked[-1]
    assert (request.question, request.thread_id, request.earlier) == ("And why?", None, ("When?",))
    with pytest.raises(openai.NotFoundError, match="resp_elsewhere"):
        client.responses.create(model="sixply", input="And?", previous_response_id="resp_elsewhere")
    with pytest.raises(openai.BadRequestError, match="different conversations"):
        client.responses.create(model="sixply", input="And?", previous_response_id=first.id, conversation="t-7")


def test_a_stream_has_openais_events_in_their_order_and_adds_up(client: openai.OpenAI) -> None:
    with client.responses.stream(model="sixply", input="When does it ship?") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.type for event in events if event.type != "response.output_text.delta"] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        "response.output_text.done", "response.output_text.annotation.added", "response.content_part.done",
        "response.output_item.done", "response.completed",
    ]  # fmt: skip
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == TEXT
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert final.output_text == TEXT
    assert final.usage
    assert final.usage.total_tokens == 10


def test_a_stream_that_fails_raises_and_never_ends_as_if_it_were_done(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIError, match="refused the connection"):
        list(client.responses.create(model="sixply", input="down", stream=True))


@pytest.mark.parametrize(
    ("parameter", "name"),
    [
        ({"tools": [TOOL]}, "tools"),
        ({"tools": [TOOL], "tool_choice": "required"}, "tool_choice"),
        ({"text": {"format": {"type": "json_object"}}}, "text"),
        ({"background": True, "stream": True}, "stream"),
        ({"background": True, "store": False}, "store"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"extra_body": {"novel": 1}}, "novel"),
    ],
)
def test_a_parameter_that_we_do_not_honour_is_refused_by_name(
    client: openai.OpenAI, parameter: dict, name: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="sixply", input="When?", **parameter)
    assert (refused.value.param, refused.value.code) == (name, "unsupported_parameter")


def test_tools_that_are_only_mentioned_do_no_harm_and_their_results_are_refused(client: openai.OpenAI) -> None:
    response = client.responses.create(model="sixply", input="When?", tools=[TOOL], tool_choice="none")
    assert response.output_text == TEXT
    result = [
        {"role": "user", "content": "When?"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "Tuesday"},
    ]
    with pytest.raises(openai.BadRequestError, match="The agent asks for none"):
        client.responses.create(model="sixply", input=result)


def test_errors_are_those_that_the_client_knows(client: openai.OpenAI, base_url: str) -> None:
    with pytest.raises(openai.NotFoundError, match="sixply-extractive"):
        client.responses.create(model="sixply-extractiv", input="When?")
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="sixply", input=" ")
    with pytest.raises(openai.InternalServerError, match="refused the connection"):
        client.responses.create(model="sixply", input="down")
    with (
        openai.OpenAI(base_url=base_url, api_key="sixply_wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError, match="No valid API key"),
    ):
        stranger.responses.create(model="sixply", input="When?")


# --- in the background --------------------------------------------------------------------------------------------------


def _ended(client: openai.OpenAI, response_id: str) -> Any:
    deadline = time.monotonic() + 60
    while True:
        response = client.responses.retrieve(response_id)
        if response.status not in {"queued", "in_progress"}:
            return response
        assert time.monotonic() < deadline, response
        time.sleep(0.02)


def test_a_response_in_the_background_is_begun_at_once_and_asked_for_until_it_is_completed(
    client: openai.OpenAI, given: World
) -> None:
    begun = client.responses.create(
        model="sixply-extractive", input="When does it ship?", background=True, metadata={"thread_id": "t-5"}
    )
    assert (begun.status, begun.background, begun.output) == ("queued", True, [])
    done = _ended(client, begun.id)
    assert (done.id, done.status, done.output_text, done.background) == (begun.id, "completed", TEXT, True)
    assert (done.created_at, done.model, done.metadata) == (begun.created_at, "sixply-extractive", {"thread_id": "t-5"})
    assert done.usage
    assert done.usage.total_tokens == 10
    client.responses.create(model="sixply", input="And why?", previous_response_id=begun.id)
    request, _ = given.system.agent.asked[-1]
    assert (request.question, request.thread_id) == ("And why?", "t-5")


def test_one_in_the_background_belongs_to_its_caller(client: openai.OpenAI, given: World, base_url: str) -> None:
    begun = client.responses.create(model="sixply", input="When?", background=True)
    for key in (given.stranger, given.agent):
        with openai.OpenAI(base_url=base_url, api_key=key, max_retries=0) as other:
            for ask in (other.responses.retrieve, other.responses.cancel):
                with pytest.raises(openai.NotFoundError):
                    ask(begun.id)
            with pytest.raises(openai.NotFoundError):
                other.responses.create(model="sixply", input="And?", previous_response_id=begun.id)
    with pytest.raises(openai.BadRequestError, match="not streamed later"):
        client.responses.retrieve(begun.id, stream=True)


def test_one_that_fails_says_why_and_one_that_nobody_wants_is_broken_off(client: openai.OpenAI, given: World) -> None:
    failed = _ended(client, client.responses.create(model="sixply", input="down", background=True).id)
    assert (failed.status, failed.output) == ("failed", [])
    assert failed.error
    assert failed.error.code == "upstream_down"
    assert "refused the connection" in failed.error.message
    begun = client.responses.create(model="sixply", input="wait for me", background=True)
    assert given.system.agent.started.wait(60)
    assert client.responses.retrieve(begun.id).status == "in_progress"
    with pytest.raises(openai.BadRequestError, match="not completed"):
        client.responses.create(model="sixply", input="And?", previous_response_id=begun.id)
    assert [client.responses.cancel(begun.id).status for _ in range(2)] == ["cancelled", "cancelled"]
    assert given.system.agent.cancelled.wait(60)


def test_one_in_the_background_goes_on_in_the_next_process(tmp_path: Path) -> None:
    given = world(tmp_path, extensions=("forks", "jobs", "openai_api", "structured"))
    with running(given.system) as url, openai.OpenAI(base_url=f"{url}/v1", api_key=given.reader) as client:
        begun = client.responses.create(model="sixply", input="wait for me", background=True, instructions="Be brief.")
        assert given.system.agent.started.wait(60)
    path = given.system.settings.foundation.data_dir / "jobs" / "jobs.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE jobs SET worker = '1:0.0'")  # as a process of another time would have left it
    again = FakeSystem(given.system.settings, given.system.context)
    again.agent.let_go.set()
    with running(again) as url, openai.OpenAI(base_url=f"{url}/v1", api_key=given.reader) as client:  # type: ignore[arg-type]
        done = _ended(client, begun.id)
    assert (done.status, done.output_text) == ("completed", TEXT)
    request, _ = again.agent.asked[-1]
    assert (request.question, request.client.instructions) == ("wait for me", "Be brief.")

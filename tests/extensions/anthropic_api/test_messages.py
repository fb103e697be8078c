"""Anthropic's own client, pointed at us by `base_url` and nothing else."""

from collections.abc import Iterator

import anthropic
import httpx2
import pytest

from serving.server import running
from tests.doubles.serving import TEXT as DOCUMENT
from tests.doubles.serving import World, world

TEXT = "The double ships on Tuesdays [1].\n\n[1] The double (double.md, characters 0-29)"
ASK = [{"role": "user", "content": "When does it ship?"}]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(
        tmp_path_factory.mktemp("messages"), extensions=("forks", "jobs", "openai_api", "anthropic_api", "structured")
    )


@pytest.fixture(scope="module")
def base_url(given: World) -> Iterator[str]:
    with running(given.system) as url:
        yield url


@pytest.fixture
def client(given: World, base_url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=base_url, api_key=given.reader, max_retries=0) as client:
        yield client


def test_a_message_has_the_text_its_citations_and_usage(client: anthropic.Anthropic) -> None:
    message = client.messages.create(
        model="sixply", max_tokens=64, messages=ASK, system="Be brief.", extra_body={"temperature": 0}
    )
    (block,) = message.content
    assert (block.type, block.text, message.stop_reason) == ("text", TEXT, "end_turn")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 3)
    (cited,) = block.citations
    assert cited.type == "char_location"
    assert cited.cited_text == DOCUMENT[cited.start_char_index : cited.end_char_index]
    assert (cited.document_title, cited.document_index) == ("The double", 0)
    assert message.model_extra
    assert message.model_extra["sixply"]["trace_id"]


def test_the_last_user_message_is_the_question_and_a_conversation_goes_on_by_its_name(
    client: anthropic.Anthropic, given: World
) -> None:
    history = [
        *ASK,
        {"role": "assistant", "content": [{"type": "text", "text": "On Tuesdays."}]},
        {"role": "user", "content": [{"type": "text", "text": "And by"}, {"type": "text", "text": "parts?"}]},
    ]
    metadata = {"user_id": "u", "thread_id": "t-9"}
    client.messages.create(model="sixply-extractive", max_tokens=64, messages=history, metadata=metadata)
    request, caller = given.system.agent.asked[-1]
    assert (request.question, request.compose, request.thread_id) == ("And by\nparts?", "extractive", "t-9")
    assert (caller.tenant, request.earlier) == ("north", ())
    client.messages.create(model="sixply", max_tokens=64, messages=history)
    request, _ = given.system.agent.asked[-1]
    assert (request.thread_id, request.earlier) == (None, (ASK[-1]["content"],))


def test_a_stream_has_anthropics_events_and_adds_up_to_the_message(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model="sixply", max_tokens=64, messages=ASK) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == TEXT
    (block,) = message.content
    assert (block.text, block.citations[0].cited_text) == (TEXT, DOCUMENT[:29])
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 3)
    kinds = [event.type for event in client.messages.create(model="sixply", max_tokens=9, messages=ASK, stream=True)]
    assert list(dict.fromkeys(kinds)) == [
        "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
        "message_stop",
    ]  # fmt: skip


def test_a_stream_that_fails_raises_and_never_ends_as_if_it_were_done(client: anthropic.Anthropic) -> None:
    down = [{"role": "user", "content": "down"}]
    with pytest.raises(anthropic.APIStatusError, match="refused the connection"):
        list(client.messages.create(model="sixply", max_tokens=64, messages=down, stream=True))


@pytest.mark.parametrize(
    ("parameter", "name"),
    [
        ({"tools": [{"name": "f", "input_schema": {"type": "object"}}]}, "tools"),
        ({"stop_sequences": ["."]}, "stop_sequences"),
        ({"extra_body": {"container": "c"}}, "container"),
        ({"extra_body": {"novel": 1}}, "novel"),
    ],
)
def test_a_parameter_that_we_do_not_honour_is_refused_by_name(
    client: anthropic.Anthropic, parameter: dict, name: str
) -> None:
    with pytest.raises(anthropic.BadRequestError, match=f'"{name}" is not supported here'):
        client.messages.create(model="sixply", max_tokens=64, messages=ASK, **parameter)


def test_a_tools_result_is_refused_and_tools_that_are_only_mentioned_do_no_harm(client: anthropic.Anthropic) -> None:
    tool = {"name": "f", "input_schema": {"type": "object"}}
    message = client.messages.create(
        model="sixply", max_tokens=64, messages=ASK, tools=[tool], tool_choice={"type": "none"}
    )
    assert message.stop_reason == "end_turn"
    result = [
        *ASK,
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "Tuesday"}]},
    ]
    with pytest.raises(anthropic.BadRequestError, match="The agent asks for none"):
        client.messages.create(model="sixply", max_tokens=64, messages=result)


def test_errors_are_those_that_the_client_knows(client: anthropic.Anthropic, base_url: str) -> None:
    with pytest.raises(anthropic.NotFoundError, match=r"not_found_error.*sixply-extractive"):
        client.messages.create(model="sixply-extractiv", max_tokens=64, messages=ASK)
    with pytest.raises(anthropic.BadRequestError, match="invalid_request_error"):
        client.messages.create(model="sixply", max_tokens=64, messages=[{"role": "user", "content": " "}])
    with pytest.raises(anthropic.InternalServerError, match=r"overloaded_error.*refused the connection"):
        client.messages.create(model="sixply", max_tokens=64, messages=[{"role": "user", "content": "down"}])
    with (
        anthropic.Anthropic(base_url=base_url, api_key="sixply_wrong", max_retries=0) as stranger,
        pytest.raises(anthropic.AuthenticationError, match="authentication_error"),
    ):
        stranger.messages.create(model="sixply", max_tokens=64, messages=ASK)


def test_the_key_may_stand_where_anthropics_clients_put_it_and_there_only(given: World, base_url: str) -> None:
    body = {"model": "sixply", "max_tokens": 64, "messages": ASK}
    for key, path, status in (
        (given.reader, "messages", 200),
        ("sixply_wrong", "messages", 401),
        (given.reader, "chat/completions", 401),
    ):
        reply = httpx2.post(f"{base_url}/v1/{path}", json=body, headers={"X-Api-Key": key}, timeout=60)
        assert reply.status_code == status, path

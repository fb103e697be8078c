"""OpenAI's own client, pointed at us by `base_url` and nothing else."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from serving.server import running
from tests.doubles.serving import World, world

ASK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "When does it ship?"}]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("openai"), extensions=("forks", "jobs", "openai_api", "structured"))


@pytest.fixture(scope="module")
def base_url(given: World) -> Iterator[str]:
    with running(given.system) as url:
        yield f"{url}/v1"


@pytest.fixture
def client(given: World, base_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key=given.reader, max_retries=0) as client:
        yield client


def test_a_completion_has_the_answer_its_footnotes_usage_and_our_extra_field(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model="sixply", messages=ASK, temperature=0)
    content = completion.choices[0].message.content
    assert content == "The double ships on Tuesdays [1].\n\n[1] The double (double.md, characters 0-29)"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage
    assert completion.usage.total_tokens == 10
    assert completion.model_extra
    assert completion.model_extra["sixply"]["citations"][0]["document_id"] == "doc-1"


def test_the_last_user_message_is_the_question_and_the_model_name_says_how_to_compose(
    client: openai.OpenAI, given: World
) -> None:
    parts = [{"type": "text", "text": "When, by"}, {"type": "text", "text": "parts?"}]
    messages = [*ASK, {"role": "assistant", "content": "Tuesdays."}, {"role": "user", "content": parts}]
    client.chat.completions.create(model="sixply-extractive", messages=messages, metadata={"thread_id": "t-9"})
    request, caller = given.system.agent.asked[-1]
    assert (request.question, request.compose, request.thread_id) == ("When, by\nparts?", "extractive", "t-9")
    assert caller.tenant == "north"
    assert request.earlier == (), "the conversation that is named knows what was asked"


def test_without_a_named_conversation_the_earlier_user_messages_go_along_and_no_others(
    client: openai.OpenAI, given: World
) -> None:
    told = {"role": "assistant", "content": "Refund o-1."}
    messages = [
        *ASK,
        told,
        {"role": "user", "content": " "},
        {"role": "user", "content": [{"type": "text", "text": "And why?"}]},
    ]
    client.chat.completions.create(model="sixply", messages=messages)
    request, _ = given.system.agent.asked[-1]
    assert (request.question, request.thread_id, request.earlier) == ("And why?", None, ("When does it ship?",))


def test_a_stream_adds_up_to_the_completion_and_ends_with_usage(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="sixply", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "The double ships on Tuesdays [1].\n\n[1] The double (double.md, characters 0-29)"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert chunks[-1].usage.total_tokens == 10


def test_the_models_that_are_listed_can_be_asked(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert names == ["sixply", "sixply-extractive", "sixply-generative"]
    assert client.models.retrieve("sixply").id == "sixply"
    with pytest.raises(openai.NotFoundError, match='No model "gpt"'):
        client.models.retrieve("gpt")
    for name in names:
        assert client.chat.completions.create(model=name, messages=ASK).model == name


@pytest.mark.parametrize(
    "parameter",
    [
        {"n": 2}, {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"response_format": {"type": "json_object"}}, {"stop": ["."]}, {"logprobs": True}, {"extra_body": {"novel": 1}},
    ],
)  # fmt: skip
def test_a_parameter_that_we_do_not_honour_is_refused_by_name(client: openai.OpenAI, parameter: dict) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="sixply", messages=ASK, **parameter)
    name = next(iter(parameter.get("extra_body", parameter)))
    assert refused.value.param == name
    assert refused.value.code == "unsupported_parameter"
    assert f'"{name}"' in refused.value.message


def test_tools_that_are_only_mentioned_do_no_harm_and_their_results_are_refused(client: openai.OpenAI) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    told = [*ASK, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "x"}]
    mentioned = client.chat.completions.create(model="sixply", messages=[*told, *ASK], tools=[tool], tool_choice="none")
    assert mentioned.choices[0].finish_reason == "stop"
    with pytest.raises(openai.BadRequestError, match="The agent asks for none") as refused:
        client.chat.completions.create(model="sixply", messages=told)
    assert refused.value.param == "messages"
    with pytest.raises(openai.BadRequestError, match=r"run on the server under its policy.*docs/tools\.md"):
        client.chat.completions.create(model="sixply", messages=ASK, tools=[tool])


def test_errors_are_those_that_the_client_knows(client: openai.OpenAI, base_url: str) -> None:
    with pytest.raises(openai.NotFoundError, match="sixply-extractive") as unknown:
        client.chat.completions.create(model="sixply-extractiv", messages=ASK)
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError, match="no question"):
        client.chat.completions.create(model="sixply", messages=[{"role": "system", "content": "x"}])
    with pytest.raises(openai.BadRequestError) as empty:
        client.chat.completions.create(model="sixply", messages=[])
    assert empty.value.param == "messages"
    with pytest.raises(openai.BadRequestError, match="at most 8,000") as long:
        client.chat.completions.create(model="sixply", messages=[{"role": "user", "content": "x" * 9_000}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.InternalServerError, match="refused the connection"):
        client.chat.completions.create(model="sixply", messages=[{"role": "user", "content": "down"}])
    with (
        openai.OpenAI(base_url=base_url, api_key="sixply_wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError, match="No valid API key") as unheard,
    ):
        stranger.models.list()
    assert unheard.value.code == "invalid_api_key"


def test_what_is_not_here_is_said_in_words_that_the_client_shows(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match=r"There is no /v1/embeddings here\. /openapi\.json lists"):
        client.embeddings.create(model="sixply", input="x")
    with pytest.raises(openai.NotFoundError, match=r"There is no /v1/completions here"):
        client.completions.create(model="sixply", prompt="x")
    with pytest.raises(openai.APIStatusError, match=r"does not take DELETE\. It takes: GET") as method:
        client.models.delete("sixply")
    assert method.value.status_code == 405
    with pytest.raises(openai.APIStatusError, match="larger than this server takes") as large:
        client.chat.completions.create(model="sixply", messages=[{"role": "user", "content": "x" * 11_000_000}])
    assert large.value.status_code == 413


def test_what_cannot_be_read_is_named_by_its_place(client: openai.OpenAI) -> None:
    sound = [{"type": "input_audio", "input_audio": {}}]
    with pytest.raises(openai.BadRequestError, match=r"body\.messages\.0\.content\.0: .*'text', 'image_url'"):
        client.chat.completions.create(model="sixply", messages=[{"role": "user", "content": sound}])
    picture = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    with pytest.raises(openai.BadRequestError, match="model takes no images"):
        client.chat.completions.create(model="sixply", messages=[{"role": "user", "content": picture}])
    headers = {"Content-Type": "application/json"}
    with pytest.raises(openai.BadRequestError, match="body: JSON decode error at character 1: Expecting property name"):
        client.post("/chat/completions", cast_to=object, content=b"{bad", options={"headers": headers})


def test_a_stream_that_fails_raises_and_never_ends_as_if_it_were_done(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIError, match="refused the connection"):
        list(
            client.chat.completions.create(model="sixply", messages=[{"role": "user", "content": "down"}], stream=True)
        )


def test_a_refund_in_chat_names_the_approval_that_it_waits_for(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model="sixply", messages=[{"role": "user", "content": "refund it"}])
    assert "Waiting for approval ap-1." in (completion.choices[0].message.content or "")


def test_a_folder_of_keys_is_needed_to_serve(tmp_path: Path) -> None:
    given = world(tmp_path, extensions=("forks", "jobs", "openai_api", "structured"))
    (tmp_path / "keys.json").unlink()
    with pytest.raises(Exception, match="sixply keys add"), running(given.system):
        pass

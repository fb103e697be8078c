"""What a chat model is found to be able to do, by scripted ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from extensions.development.scripted_chat import ScriptedChat
from extensions.model_check.abilities import LONG, profile_line, try_abilities
from foundation.components import Context, load
from foundation.errors import UpstreamDown, UpstreamRejected
from foundation.settings import Part
from tests.doubles.provider import FaultyProvider, calls, ok


def able(messages: Sequence[BaseMessage]) -> AIMessage | str:
    """What a strong model answers to each of the trials."""
    asked = messages[-1].text
    if isinstance(messages[-1], ToolMessage):
        return "I wrote it down."
    if LONG in asked:
        return " ".join(["number"] * 400)
    if "two hundred" in asked:
        return AIMessage("one two", response_metadata={"finish_reason": "length"})
    if "note_number" in asked:
        numbers = [7, 8] if "numbers" in asked else [7]
        return AIMessage(
            "",
            tool_calls=[
                {"name": "note_number", "args": {"number": n}, "id": f"c{n}", "type": "tool_call"} for n in numbers
            ],
        )
    if "tomato" in asked:
        return AIMessage("", tool_calls=[{"name": "Colour", "args": {"name": "red"}, "id": "c", "type": "tool_call"}])
    return "Blue." if "Monday" in asked else "one two three"


async def test_a_strong_model_can_do_it_all() -> None:
    abilities = await try_abilities(ScriptedChat(replies=(able,)))
    assert [ability.name for ability in abilities if not ability.can] == []
    assert profile_line(abilities) == "profile = { tool_calling = true, structured_output = true }"
    assert profile_line(abilities, 32_000).endswith("structured_output = true, max_input_tokens = 32000 }")


async def test_a_small_model_cannot_and_it_is_said_what_follows() -> None:
    abilities = {ability.name: ability for ability in await try_abilities(ScriptedChat(replies=("Hello there.",)))}
    assert abilities["answers"].can
    assert abilities["streams"].can
    assert not abilities["follows the system message"].can
    assert not abilities["calls tools"].can
    assert abilities["calls tools"].consequence == "the planned agent, graph"
    assert abilities["calls tools"].found == "no call: Hello there."
    assert not abilities["keeps to a JSON schema"].can


async def test_a_model_that_is_down_can_do_nothing_and_says_why() -> None:
    abilities = await try_abilities(ScriptedChat(replies=(UpstreamDown("The double is down."),)))
    assert {ability.can for ability in abilities} == {False}
    assert {ability.found for ability in abilities} == {"The double is down."}


async def test_a_server_that_takes_no_result_of_a_tool_is_found_out_and_what_it_says_is_shown(tmp_path: Path) -> None:
    """DeepSeek's kind: a call that goes back without the thoughts that led to it is refused."""

    def reply(handler: Any) -> None:
        asked = [message for message in handler.body["messages"] if message.get("tool_calls")]
        if any("reasoning_content" not in message for message in asked):
            told = b'{"error": {"message": "Missing `reasoning_content` field in the assistant message at index 1"}}'
            handler.send(400, told, {"Content-Type": "application/json"})
        elif handler.body["messages"][-1]["role"] == "tool":
            ok("I wrote it down.")(handler)
        else:
            calls("note_number", number=7)(handler)

    with FaultyProvider(reply) as provider:
        part = Part.model_validate({"use": "openai_compatible", "model": "m-1", "base_url": f"{provider.url}/v1"})
        model = load("models.chat", part, Context(data_dir=tmp_path), expected=BaseChatModel)
        abilities = {ability.name: ability for ability in await try_abilities(model)}
    found = abilities["goes on from a tool's result"]
    assert not found.can
    assert "Missing `reasoning_content` field in the assistant message at index 1" in found.found
    assert "fails" in found.consequence


async def test_a_reply_that_is_cut_off_and_a_long_one_are_asked_for() -> None:
    never = {ability.name: ability for ability in await try_abilities(ScriptedChat(replies=("one two three",)))}
    assert not never["says when it is cut off"].can
    assert not never["writes at length"].can
    assert never["writes at length"].found == "3 words, complete"


async def test_a_server_that_is_down_is_waited_for_once_and_each_trial_is_named_before_it() -> None:
    told: list[tuple[str, int, int]] = []
    down = ScriptedChat(replies=(TimeoutError("The double hangs."),))
    assert len(await try_abilities(down, lambda *step: told.append(step))) == 1
    await try_abilities(ScriptedChat(replies=(able,)), lambda *step: told.append(step))
    assert told[:2] == [("answers", 0, 11)] * 2
    assert told[-1][1:] == (10, 11)


async def test_thoughts_whose_beginning_nobody_sees_are_said_in_the_profile() -> None:
    unopened = ScriptedChat(replies=("The person asks.\n</think>\n\n42",))
    abilities = await try_abilities(unopened)
    assert "reasoning_output = true" in profile_line(abilities)
    (apart,) = [ability for ability in abilities if ability.name == "keeps thoughts apart"]
    assert "once its thoughts have ended" in apart.consequence
    opened = ScriptedChat(replies=("<think>\nThe person asks.\n</think>\n\n42",))
    assert "reasoning_output" not in profile_line(await try_abilities(opened))


async def test_a_failure_of_a_vendors_client_is_told_of_the_model_and_not_of_the_ability() -> None:
    abilities = await try_abilities(ScriptedChat(replies=(ConnectionError("The double is down."),), model_name="m-1"))
    assert all(ability.found.startswith("m-1 cannot be reached") for ability in abilities), abilities[0]


async def test_what_a_server_refuses_and_every_answer_needs_is_said_to_be_needed() -> None:
    told = UpstreamRejected("System role not supported.")
    refuses = ScriptedChat(replies=(lambda messages: told if len(messages) > 1 else able(messages),))
    abilities = {ability.name: ability for ability in await try_abilities(refuses)}
    assert "fails: give its server a chat template" in abilities["follows the system message"].consequence
    down = await try_abilities(ScriptedChat(replies=(UpstreamRejected("No streams here."),)))
    assert "disable_streaming = true" in {ability.name: ability.consequence for ability in down}["streams"]

"""The care for the model's window (orchestration/middleware/context.py), with a scripted model: a double."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from models.chat.scripted import ScriptedChat
from orchestration.requests import AnswerRequest
from tests.doubles.orchestration import NORTH, World
from tests.doubles.strong import calls, strong


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, agents="tool_calling")
    yield world
    world.close()


async def test_a_long_result_is_shown_in_part_and_can_be_read_on(world: World) -> None:
    def find_parcel(parcel_id: str) -> tuple[str, None]:
        return f"start {'x' * 60_000} end of {parcel_id}", None

    world.depot.find_parcel = find_parcel  # type: ignore[assignment, method-assign]
    world.chat = strong(
        calls(("find_parcel", {"parcel_id": "P-123"})),
        calls(("read_result", {"call_id": "call_find_parcel_1", "start": 24_000})),
        "It is there.",
    )
    events = [event async for event in world.agent().stream(AnswerRequest(question="Where is P-123?"), NORTH)]
    first = next(message.text for message in world.chat.seen[1] if isinstance(message, ToolMessage))
    assert "Read on with read_result" in first
    assert len(first) < 52_000, "a tenth of 128,000 tokens"
    last = world.chat.seen[2][-1]
    assert last.text.endswith("end of P-123")
    assert events[-1].answer.status == "answered"


async def test_a_result_is_read_on_though_a_later_short_one_has_its_id(world: World) -> None:
    texts = iter([f"start {'x' * 60_000} end", "short"])

    def find_parcel(parcel_id: str) -> tuple[str, None]:
        del parcel_id
        return next(texts), None

    world.depot.find_parcel = find_parcel  # type: ignore[assignment, method-assign]
    find = calls(("find_parcel", {"parcel_id": "P-123"}))
    read_on = ("read_result", {"call_id": "call_find_parcel_1", "start": 24_000})
    world.chat = strong(find, find, calls(read_on), "It is there.")
    [event async for event in world.agent().stream(AnswerRequest(question="Where is P-123?"), NORTH)]
    assert world.chat.seen[3][-1].text.endswith("x end")


async def test_a_summary_stands_until_the_window_is_full_again_and_is_made_of_the_one_before(world: World) -> None:
    made = []

    def reply(messages: Sequence[BaseMessage]) -> AIMessage:
        if "Summarise this conversation" in messages[0].text:
            made.append(messages[0].text)
            return AIMessage(f"Summary {len(made)}.")
        return AIMessage("Noted.")

    world.chat = ScriptedChat(replies=(reply,), profile={"tool_calling": True, "max_input_tokens": 6_000})
    thread_id = None
    for number in range(40):
        asked = AnswerRequest(question=f"Number {number}. {'My colour is blue. ' * 40}", thread_id=thread_id)
        last = [event async for event in world.agent().stream(asked, NORTH)][-1].answer
        assert last is not None
        thread_id = last.thread_id
    assert 2 <= len(made) <= 6, "of 40 turns, of which a window holds 17"
    assert all(
        f"[What was said before, in short: Summary {number}.]" in text for number, text in enumerate(made[1:], 1)
    )
    assert max(map(len, made)) < 4 * 6_000, "each fits into the window itself"
    shown = [seen for seen in world.chat.seen if "Summarise" not in seen[0].text]
    changed = sum(one[:-1] != other[: len(one) - 1] for one, other in pairwise(shown))
    assert changed == len(made), "else the beginning is that of the call before"


async def test_old_turns_are_summarised_once_the_window_is_nearly_full_and_stay_stored(world: World) -> None:
    profile = {"tool_calling": True, "max_input_tokens": 6_000}
    replies = ("Noted.", "They like blue, in short.", "Blue.")
    world.chat = ScriptedChat(replies=replies, profile=profile)
    agent = world.agent()
    long = "My colour is blue. " * 380
    first = [event async for event in agent.stream(AnswerRequest(question=long), NORTH)][-1].answer
    assert first is not None
    again = AnswerRequest(question=long + "Which one is it?", thread_id=first.thread_id)
    last = [event async for event in agent.stream(again, NORTH)][-1].answer
    assert last is not None
    assert last.text == "Blue."
    shown = [message.text for message in world.chat.seen[-1]]
    assert shown[1:] == ["[What was said before, in short: They like blue, in short.]", again.question]
    stored = await agent._graph.aget_state({"configurable": {"thread_id": first.thread_id}})
    assert [message.text for message in stored.values["messages"]][:2] == [long.strip(), "Noted."]


async def test_an_empty_summary_is_not_what_is_remembered_of_the_conversation(world: World) -> None:
    replies = ("Noted.", "", "Which?", "They like blue, in short.", "Blue.")
    world.chat = ScriptedChat(replies=replies, profile={"tool_calling": True, "max_input_tokens": 6_000})
    agent, long, thread_id, answers = world.agent(), "My colour is blue. " * 380, None, []
    for question in (long, f"{long}Which one is it?", "Which colour?"):
        asked = AnswerRequest(question=question, thread_id=thread_id)
        answers.append([event async for event in agent.stream(asked, NORTH)][-1].answer)
        assert answers[-1] is not None
        thread_id = answers[-1].thread_id
    assert "earlier turns are left out: they could not be summarised (empty)" in answers[1].degraded
    assert any("They like blue, in short." in message.text for message in world.chat.seen[-1])

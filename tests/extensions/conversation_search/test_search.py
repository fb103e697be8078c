"""What is no longer shown to the model is found in the conversation, as it was said; the model is scripted, a double."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from extensions.conversation_search.search import find_said
from extensions.development.scripted_chat import ScriptedChat
from foundation.text.lexical import terms
from orchestration.requests import AnswerRequest
from tests.doubles.orchestration import NORTH, World
from tests.doubles.strong import calls
from tests.extensions.agent_middleware.listing import agent_with


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


async def test_what_is_no_longer_shown_is_found_in_the_conversation(world: World) -> None:
    world.chat = ScriptedChat(replies=(reply_that_looks,), profile={"tool_calling": True, "max_input_tokens": 6_000})
    first = "My code word is heron. " + "The weather is fine. " * 60
    turns = [first, *[f"{number} {'My colour is blue. ' * 60}" for number in range(20)], "What was the code word?"]
    agent, thread_id, last = agent_with(world, "conversation_search"), None, None
    for asked in turns:
        request = AnswerRequest(question=asked, thread_id=thread_id)
        last = [event async for event in agent.stream(request, NORTH)][-1].answer
        assert last is not None
        thread_id = last.thread_id
    assert last is not None
    assert "heron" in last.text
    offered = [
        any(tool["function"]["name"] == "search_conversation" for tool in bound.get("tools") or ())
        for bound in world.chat.bound
    ]
    assert (offered[0], offered[-1]) == (False, True), "only once there is something to find"
    assert not any("heron" in message.text for message in world.chat.seen[-2])


def reply_that_looks(messages: Sequence[BaseMessage]) -> AIMessage:
    if isinstance(messages[-1], ToolMessage):
        return AIMessage(f"It was: {messages[-1].text.split('Person: ')[-1][:40]}")
    if messages[-1].text == "What was the code word?":
        return calls(("search_conversation", {"query": "the code word"}))
    return AIMessage("Noted.")


def test_a_search_of_the_conversation_finds_what_many_similar_questions_lack() -> None:
    fact = HumanMessage("Locker A123 has the code 5812.")
    questions = [HumanMessage(f"What is the code of locker B{number}, please?") for number in range(20)]
    found = find_said([fact, *questions], terms("What is the code of locker A123, please?"), 5)
    assert fact in found

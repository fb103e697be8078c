"""The agent that the chat model deserves, chosen by what is known of the model."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from extensions.development.scripted_chat import ScriptedChat
from foundation.components import load
from foundation.errors import InvalidSetting, UnknownPart
from foundation.settings import Part
from orchestration.contract import Agent
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer
from tests.doubles.orchestration import NORTH, World
from tests.doubles.strong import strong

STACK = (Path(__file__).parents[3] / "stack.toml").read_text(encoding="utf-8")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, agents="tool_calling")
    yield world
    world.close()


async def test_a_model_without_tools_is_refused_at_the_start(world: World) -> None:
    world.chat = ScriptedChat(replies=("Hello.",), profile={"tool_calling": False})
    with pytest.raises(InvalidSetting, match="calls no tools"):
        world.agent()
    assert type(world.agent("auto")).__name__ == "QuotingAgent"
    world.chat = strong("Hello.")
    assert type(world.agent("auto", tool_calling={"rounds": 3})).__name__ == "ToolCallingAgent"
    with pytest.raises(InvalidSetting, match="rounds"):
        world.agent("auto", tool_calling={"rounds": 1})


async def test_the_agent_for_a_model_without_tools_is_named_alone_or_with_its_options(world: World) -> None:
    world.chat = ScriptedChat(replies=("Hello.",), profile={"tool_calling": False})
    named, with_options = ("quoting", {"use": "quoting", "writes": True})
    assert type(world.agent("auto", without_tools=named)).__name__ == "QuotingAgent"
    assert type(world.agent("auto", without_tools=with_options)).__name__ == "QuotingAgent"
    with pytest.raises(UnknownPart, match="quotng"):
        world.agent("auto", without_tools="quotng")


async def test_a_model_of_which_nothing_is_known_is_asked_with_a_warning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for profile in ({"tool_calling": False}, {"tool_calling": True}):
        world.chat = ScriptedChat(replies=("Hello.",), profile=profile)
        world.agent("auto")
    assert caplog.text == ""
    world.chat = ScriptedChat(replies=("Hello.",))
    agent = load("orchestration.agent", Part(use="auto"), world.parts(), expected=Agent)  # the world states a profile
    given = await answer(agent, AnswerRequest(question="Hello?"), NORTH)
    assert (given.text, len(world.chat.seen)) == ("Hello.", 1)
    assert "make model-check" in caplog.text
    assert any("profile = { tool_calling = true }" in note for note in given.degraded)


def test_rounds_may_stand_beside_auto_as_its_comment_in_stack_toml_offers(world: World) -> None:
    offered = re.search(r'\[orchestration\.agent\]\nuse = "auto".*?\n# (rounds = \d+)', STACK, re.DOTALL)
    assert offered
    world.chat = strong("Hello.")
    assert type(world.agent("auto", **tomllib.loads(offered[1]))).__name__ == "ToolCallingAgent"
    with pytest.raises(InvalidSetting, match="rounds"):
        world.agent("auto", rounds=1)

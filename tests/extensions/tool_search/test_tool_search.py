"""With hundreds of tools the model is shown a search over them, and what it found."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool

from extensions.development.hashing_embedder import HashingEmbedder
from foundation.errors import InvalidSetting, SixplyError, UpstreamDown
from orchestration.requests import AnswerRequest
from orchestration.run.tokens import count_tokens
from tests.doubles.orchestration import NORTH, POLICY, World
from tests.doubles.strong import calls, strong
from tests.extensions.agent_middleware.listing import agent_with

SUBJECTS = ("invoice", "holiday", "laptop", "meeting room", "contract", "customer", "supplier", "shipment")
ACTS = ("list", "count", "open", "compare", "print", "archive", "translate", "summarise", "export", "check")


@cache
def make_tools(many: int) -> list[BaseTool]:
    def tool(number: int) -> BaseTool:
        subject, act = SUBJECTS[number % 8], ACTS[number // 8 % 10]

        def work(item_id: str, note: str = "") -> str:
            return f"{act} {subject} {item_id}: done{note}"

        name = f"{act}_{subject.replace(' ', '_')}_{number}"
        about = (
            f"{act.title()} a {subject} of department {number // 80}, by its number, with a note for the colleagues."
        )
        return StructuredTool.from_function(work, name=name, description=about, metadata={"effect": False})

    return [tool(number) for number in range(many)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.tools = make_tools(400)
    world.policy = replace_roles({"clerk": ("*",)})
    yield world
    world.close()


def replace_roles(roles: dict[str, tuple[str, ...]]) -> Any:
    return POLICY.model_copy(update={"roles": {**roles, "approver": ()}})


async def ask(world: World, *replies: Any, thread_id: str | None = None, **options: Any) -> Any:
    world.chat = strong(*replies)
    agent = agent_with(world, {"use": "tool_search", **options})
    request = AnswerRequest(question="Print contract 4.", thread_id=thread_id)
    return [event async for event in agent.stream(request, NORTH)][-1].answer


def names(bound: dict[str, Any]) -> list[str]:
    return [str(tool["name"] if "name" in tool else tool["function"]["name"]) for tool in bound["tools"]]


FOUND = ("find_tools", {"query": "print a contract"})


async def test_what_is_found_is_bound_from_the_next_round_on_behind_what_was_there(world: World) -> None:
    answer = await ask(
        world,
        calls(FOUND),
        calls(("print_contract_36", {"item_id": "4"}), first=2),
        calls(("find_tools", {"query": "archive a laptop"}), first=3),
        "Contract 4 is printed.",
    )
    rounds = [names(bound) for bound in world.chat.bound]
    assert rounds[0][:3] == ["search_documents", "open_document", "find_tools"]
    assert not [name for name in rounds[0] if name.startswith("print_")]
    assert "print_contract_36" in rounds[1]
    assert rounds[1][: len(rounds[0])] == rounds[0], "what stood before stays in its place, for the provider's cache"
    assert rounds[2] == rounds[1]
    assert rounds[3][: len(rounds[2])] == rounds[2]
    assert [name for name in rounds[3] if name.startswith("archive_laptop")]
    assert answer.text == "Contract 4 is printed."
    told = [message.text for message in world.chat.seen[-1] if isinstance(message, ToolMessage)]
    assert told[1] == "print contract 4: done"
    assert max(map(len, rounds)) < 30


async def test_what_was_found_is_there_in_the_next_turn(world: World) -> None:
    first = await ask(world, calls(FOUND), "Which one?")
    await ask(world, "Done.", thread_id=first.thread_id)
    assert "print_contract_36" in names(world.chat.bound[0])


async def test_a_round_costs_a_small_part_of_what_all_tools_cost(world: World) -> None:
    await ask(world, "Hello.")
    question = [HumanMessage("Print contract 4.")]
    assert count_tokens(question, world.chat.bound[0]["tools"]) * 10 < count_tokens(question, world.tools or [])


async def test_few_tools_are_all_shown_without_a_search(world: World) -> None:
    world.tools = make_tools(10)
    await ask(world, "Hello.")
    assert "find_tools" not in names(world.chat.bound[0])
    assert len([name for name in names(world.chat.bound[0]) if name[-1].isdigit()]) == 10


async def test_only_tools_that_the_caller_may_use_are_found_and_counted(world: World) -> None:
    world.policy = replace_roles({"clerk": tuple(tool.name for tool in make_tools(60) if "contract" not in tool.name)})
    await ask(world, calls(FOUND), "There is none.", above=5)
    (told,) = [message for message in world.chat.seen[-1] if isinstance(message, ToolMessage)]
    assert "contract_" not in told.text
    assert told.text.count("\n") <= 7


async def test_tools_that_are_kept_are_shown_from_the_beginning(world: World) -> None:
    await ask(world, "Hello.", keep=["open_customer_21"])
    assert "open_customer_21" in names(world.chat.bound[0])


async def test_where_the_embedder_fails_the_words_decide_and_it_is_said(world: World) -> None:
    class Away(HashingEmbedder):
        def embed_documents(self, texts: list[str]) -> Any:
            raise UpstreamDown("away")

    world.embedder = Away(64)
    answer = await ask(world, calls(FOUND), "Done.")
    assert "print_contract_36" in names(world.chat.bound[1])
    assert answer.degraded == ("tools were searched by their words alone (upstream_down)",)


def test_hundreds_of_tools_fit_a_small_window_with_the_search_and_not_without(world: World) -> None:
    world.chat = strong("Hello.").model_copy(update={"profile": {"tool_calling": True, "max_input_tokens": 16_000}})
    agent_with(world, "tool_search")
    world.services = ()
    with pytest.raises(InvalidSetting, match="a search over them"):
        world.agent("tool_calling")


def test_a_kept_tool_that_is_none_is_a_sentence(world: World) -> None:
    world.chat = strong("Hello.")
    with pytest.raises(SixplyError, match='keeps "open_custmer_21"'):
        agent_with(world, {"use": "tool_search", "keep": ["open_custmer_21"]})

"""A sub-agent is a tool: what it reads, does and costs belongs to the run that gave it the task."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from extensions.development.scripted_chat import ScriptedChat
from extensions.subagents.budget import ShareOfBudget
from foundation.errors import BudgetExceeded, SixplyError, Stopped, UpstreamDown
from foundation.types import Scope
from models.resilience.resilient_chat import resilient
from models.settings import ResilienceSettings
from orchestration.actions import Decision
from orchestration.events import Event
from orchestration.requests import AnswerRequest
from orchestration.run.budget import Budget
from orchestration.settings import BudgetSettings
from retrieval.documents import Hit
from tests.doubles.orchestration import LEAD, NORTH, READER, ShelfRetriever, World
from tests.doubles.strong import calls, strong
from tests.extensions.agent_middleware.listing import agent_with

TASK = ("research", {"task": "Find out how heavy a parcel may be."})
SEARCH = ("search_documents", {"query": "kilograms"})
HERE = "tests.extensions.subagents.test_subagents"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def fails(_: Any) -> AIMessage:
    raise UpstreamDown("http://10.0.0.1 is down")


def own_model(**options: Any) -> ScriptedChat:
    return strong(calls(SEARCH), "A parcel may weigh at most 30 kilograms [1].").model_copy(
        update={"model_name": "a-small-one", **options}
    )


def research(**options: Any) -> dict[str, Any]:
    return {"use": "subagent", "name": "research", "about": "Looks things up.", "tools": ["find_parcel"], **options}


async def ask(
    world: World, *replies: Any, thread_id: str | None = None, who: Any = NORTH, **options: Any
) -> tuple[list[Event], Any]:
    world.chat = strong(*replies)
    agent = agent_with(world, research(**options))
    request = AnswerRequest(question="How heavy may a parcel be?", thread_id=thread_id)
    return [event async for event in agent.stream(request, who)], agent


async def test_what_a_sub_agent_read_is_cited_and_counts_as_read(world: World) -> None:
    events, _ = await ask(
        world,
        calls(TASK),
        calls(SEARCH),
        "At most 30 kilograms [1].",
        "A parcel may weigh at most 30 kilograms [1].",
    )
    answer = events[-1].answer
    assert answer is not None
    assert (answer.status, answer.unsupported, answer.degraded) == ("answered", (), ())
    assert [citation.uri for citation in answer.citations] == ["parcels.md"]
    told = [message.text for message in world.chat.seen[-1] if isinstance(message, ToolMessage)]
    assert told == ["At most 30 kilograms [1]."], "its report, not the passages again"


async def test_its_task_is_all_that_it_sees_and_its_words_are_no_answer(world: World) -> None:
    events, _ = await ask(world, calls(TASK), "Nothing to look up.", "I found nothing.")
    seen = world.chat.seen[1]
    assert isinstance(seen[0], SystemMessage)
    assert seen[0].text.startswith("Looks things up.")
    assert [message.text for message in seen if isinstance(message, HumanMessage)] == [TASK[1]["task"]]
    assert "".join(event.token for event in events if event.token) == "I found nothing."


async def test_its_steps_and_tools_are_events_of_the_stream_and_its_calls_are_on_the_bill(world: World) -> None:
    find = ("find_parcel", {"parcel_id": "P-123"})
    events, _ = await ask(world, calls(TASK), calls(find), "It is at the counter.", "P-123 is at the counter.")
    steps = [event.step.name for event in events if event.step]
    assert steps == ["model", "research: model", "research: find_parcel", "research: model", "research", "model"]
    tools = [(event.tool.tool, event.tool.status) for event in events if event.tool]
    assert tools == [
        ("research", "begun"),
        ("find_parcel", "begun"),
        ("find_parcel", "done"),
        ("research", "done"),
    ]
    chats = [charge for charge in world.till.charges if charge.kind == "chat"]
    assert len(chats) == 4
    answer = events[-1].answer
    assert answer is not None
    assert answer.usage.input_tokens == sum(charge.usage.input_tokens or 0 for charge in chats)
    assert [step.name for step in answer.steps] == steps


async def test_a_figure_that_it_read_in_a_tool_is_read_and_one_of_its_own_words_is_not(world: World) -> None:
    find = ("find_parcel", {"parcel_id": "P-123"})
    events, _ = await ask(
        world, calls(TASK), calls(find), "It is at the counter, 4711 people wait.", "P-123 is there, with 4711 people."
    )
    answer = events[-1].answer
    assert answer is not None
    assert [claim.reason for claim in answer.unsupported] == ["figure"]
    assert "4711" in answer.unsupported[0].text


async def test_numbers_stay_when_the_conversation_goes_on(world: World) -> None:
    other = ("search_documents", {"query": "counter opens"})
    first, _ = await ask(
        world,
        calls(SEARCH),
        calls(("research", {"task": "When?"}), first=2),
        calls(other, first=3),
        "It opens at 8 [2].",
        "A parcel may weigh 30 kilograms [1].",
    )
    assert first[-1].answer is not None
    numbers: dict[str, str] = {}

    def look(messages: Any) -> AIMessage:
        text = "\n".join(message.text for message in messages if isinstance(message, ToolMessage))
        numbers["text"] = text
        return AIMessage("It weighs 30 kilograms [1].")

    second, _ = await ask(world, look, thread_id=first[-1].answer.thread_id)
    assert second[-1].answer is not None
    assert second[-1].answer.unsupported == ()
    assert [citation.marker for citation in second[-1].answer.citations] == [1]
    assert "It opens at 8 [2]." in numbers["text"]


async def test_its_effect_waits_for_an_approval_and_the_run_goes_on_within_it(world: World) -> None:
    world_tools = ["find_parcel", "send_parcel"]
    send = ("send_parcel", {"parcel_id": "P-124", "reason": "urgent"})
    events, _ = await ask(
        world, calls(TASK), calls(send), "It has been sent.", "P-124 has been sent.", tools=world_tools
    )
    waiting = events[-1].answer
    assert waiting is not None
    assert (waiting.status, world.depot.sent) == ("waiting", [])
    assert waiting.approval is not None
    decided = Decision(approval_id=waiting.approval.approval_id, approve=True)
    agent = agent_with(world, research(tools=world_tools))  # as after a restart
    answer = [event async for event in agent.resume(decided, LEAD)][-1].answer
    assert answer is not None
    assert (answer.status, answer.path, answer.text) == ("answered", "tool", "P-124 has been sent.")
    assert [parcel for parcel, _ in world.depot.sent] == ["P-124"]
    assert len(world.chat.seen) == 4, "no call of a model is made twice"


async def test_it_calls_no_tool_that_is_not_its_own_nor_one_that_the_caller_may_not_use(world: World) -> None:
    send = ("send_parcel", {"parcel_id": "P-124", "reason": "urgent"})
    await ask(world, calls(TASK), calls(send), "I cannot.", "It cannot.")
    assert [m.text for m in world.chat.seen[2] if isinstance(m, ToolMessage)] == ["There is no tool named send_parcel."]
    await ask(world, calls(TASK), "I cannot.", "It cannot.", who=READER, tools=["send_parcel", "find_parcel"])
    assert "send_parcel" not in str(world.chat.bound[1])
    assert "find_parcel" in str(world.chat.bound[1])


async def test_its_own_budget_ends_it_and_not_the_run(world: World) -> None:
    events, _ = await ask(world, calls(TASK), "I could not find out.", budget={"tokens": 10})
    answer = events[-1].answer
    assert answer is not None
    assert (answer.status, answer.text) == ("answered", "I could not find out.")
    (told,) = [message for message in world.chat.seen[-1] if isinstance(message, ToolMessage)]
    assert told.status == "error"
    assert told.text.startswith("It used up its budget without a result")


async def test_its_own_model_is_called_and_charged(world: World) -> None:
    model = {"use": f"{HERE}:own_model"}
    events, _ = await ask(world, calls(TASK), "A parcel may weigh at most 30 kilograms [1].", model=model)
    assert [charge.model for charge in world.till.charges if charge.kind == "chat"].count("a-small-one") == 2
    assert events[-1].answer is not None
    assert events[-1].answer.unsupported == ()


async def test_where_its_model_fails_the_run_goes_on_and_says_so(world: World) -> None:
    events, _ = await ask(world, calls(TASK), "I could not find out.", model={"use": f"{HERE}:failing_model"})
    answer = events[-1].answer
    assert answer is not None
    assert (answer.text, answer.degraded) == ("I could not find out.", ("research came to no result (upstream_down)",))
    (told,) = [message.text for message in world.chat.seen[-1] if isinstance(message, ToolMessage)]
    assert "10.0.0.1" not in told


def failing_model() -> ScriptedChat:
    return strong(fails)


def weak_model() -> ScriptedChat:
    return ScriptedChat(replies=["no"], profile={"tool_calling": False})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tools": ["find_parcl"]}, 'lists the tool "find_parcl"'),
        ({"prompt": "no-such-file.md"}, "cannot be read"),
        ({"name": "Research!"}, '"name"'),
        ({"name": "search_documents"}, "named search_documents"),
        ({"model": {"use": f"{HERE}:weak_model"}}, "needs a model that calls tools"),
        ({"budget": {"coins": 3}}, "coins"),
    ],
)
def test_what_is_wrong_with_one_is_a_sentence(world: World, options: dict[str, Any], said: str) -> None:
    world.chat = strong("Hello.")
    with pytest.raises(SixplyError) as raised:
        agent_with(world, research(**options))
    assert said in str(raised.value)


def test_a_share_of_a_budget_is_within_the_whole(world: World) -> None:
    whole = Budget(BudgetSettings(tokens=100), world.clock)
    share = ShareOfBudget(BudgetSettings(tokens=60), world.clock, whole)
    held = share.reserve(tokens=50, usd=whole.usd)
    assert not share.fits(tokens=20, usd=whole.usd)
    with pytest.raises(BudgetExceeded):
        share.reserve(tokens=20, usd=whole.usd)
    whole.reserve(tokens=50, usd=whole.usd), "what the share was refused is not held in the whole"
    share.settle(held, tokens=30, usd=whole.usd)
    assert (share.tokens, whole.tokens) == (30, 30)


@pytest.mark.parametrize("has_choices", [False, True])
async def test_its_own_model_is_under_the_same_guards_also_where_a_request_may_choose(
    world: World, has_choices: bool
) -> None:
    def demand(name: str) -> None:
        if name == "a-small-one":
            raise Stopped("Switched off by mo.")

    small = strong(calls(TASK), "I do not know.")
    usual = resilient(small, (), ResilienceSettings(), world.clock, demand)
    choices = {"large": usual} if has_choices else {}
    world.chat = resilient(small, (), ResilienceSettings(), world.clock, demand, choices=choices)  # type: ignore[assignment]
    agent = agent_with(world, research(model=f"{HERE}:own_model"))
    events = [event async for event in agent.stream(AnswerRequest(question="How heavy may a parcel be?"), NORTH)]
    assert "a-small-one" not in {charge.model for charge in world.till.charges}
    answer = events[-1].answer
    assert answer is not None
    assert any("research came to no result" in note for note in answer.degraded), answer.degraded


@dataclass
class PickyRetriever(ShelfRetriever):
    """Only the documents that share a word with the query."""

    def retrieve(self, query: str, scope: Scope, **options: Any) -> list[Hit]:
        found, words = super().retrieve(query, scope, **options), set(query.casefold().split())
        return [hit for hit in found if not query or words & set(hit.chunk.text.casefold().split())]


def two_at_once(messages: Any) -> AIMessage:
    """Plays the agent and two sub-agents at once: one reads and sends a parcel, the other reads twice meanwhile."""
    task = next(message.text for message in reversed(messages) if isinstance(message, HumanMessage))
    results = [message.text for message in messages if isinstance(message, ToolMessage)]
    shown = re.findall(r'<passage id="(\d+)"', "\n".join(results))
    steps: dict[str, list[Any]] = {
        "Weigh and send.": [
            calls(("search_documents", {"query": "kilograms."})),
            calls(("send_parcel", {"parcel_id": "P-124", "reason": "urgent"})),
            calls(("search_documents", {"query": "depot"}), first=9),
            f"At most 30 kilograms [{shown[0] if shown else 0}], 14 days [{shown[-1] if shown else 0}].",
        ],
        "When is it open?": [
            calls(("search_documents", {"query": "opens"})),
            calls(("search_documents", {"query": "assistants"}), first=5),
            f"It opens at 8 [{shown[0] if shown else 0}].",
        ],
    }
    if task in steps:
        reply = steps[task][len(results)]
        return reply if isinstance(reply, AIMessage) else AIMessage(reply)
    if results:
        return AIMessage("\n".join(results))
    return calls(*(("research", {"task": task}) for task in steps))


async def test_passages_of_two_at_once_have_numbers_of_their_own_after_a_pause_and_a_restart(world: World) -> None:
    world.retriever = PickyRetriever()
    tools = ["find_parcel", "send_parcel"]
    world.chat = strong(two_at_once)
    agent = agent_with(world, research(tools=tools))
    asked = AnswerRequest(question="How heavy, how long, and when?")
    waiting = [event async for event in agent.stream(asked, NORTH)][-1].answer
    assert waiting is not None
    assert waiting.approval is not None
    decided = Decision(approval_id=waiting.approval.approval_id, approve=True)
    agent = agent_with(world, research(tools=tools))  # as after a restart
    answer = [event async for event in agent.resume(decided, LEAD)][-1].answer
    assert answer is not None
    assert answer.unsupported == ()
    cited = {
        sentence.split(" [")[0]: int(sentence.split("[")[1][0]) for sentence in re.findall(r"[^.,]+\[\d\]", answer.text)
    }
    assert len(set(cited.values())) == 3, answer.text
    uris = {citation.marker: citation.uri for citation in answer.citations}
    assert {said.strip(): uris[number] for said, number in cited.items()} == {
        "At most 30 kilograms": "parcels.md",
        "14 days": "north.md",
        "It opens at 8": "hours.md",
    }

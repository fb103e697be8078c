"""A budget ends softly: the model is told to answer while there is room for the answer, and else what was found is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from extensions.development.scripted_chat import ScriptedChat
from models.contract import Call, Price
from orchestration.actions import Decision
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer, resume
from orchestration.settings import BudgetSettings
from tests.doubles.orchestration import LEAD, NORTH, World
from tests.doubles.strong import calls

QUESTION = AnswerRequest(question="Where is P-123?")
WROTE = 100


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, agents="tool_calling")
    yield world
    world.close()


class Searches:
    """A model that looks further as long as it may, with the usage that a provider with four characters a token reports."""

    def __init__(self, world: World, *, length: int = 9_000, seconds: float = 0, then: Any = None) -> None:
        self.world, self.seconds, self.then, self.rounds = world, seconds, then, 0
        profile = {"tool_calling": True, "max_input_tokens": 128_000}
        self.chat = world.chat = ScriptedChat(replies=(self.reply,), profile=profile)

        def find_parcel(parcel_id: str) -> tuple[str, None]:
            return f"Parcel {parcel_id} is at counter {self.rounds}. {'word ' * (length // 5)}", None

        world.depot.find_parcel = find_parcel  # type: ignore[assignment, method-assign]

    def reply(self, messages: Sequence[BaseMessage]) -> AIMessage:
        self.rounds += 1
        self.world.clock.forward(seconds=self.seconds)
        sent = self.chat.bound[-1]
        read = sum(len(message.text) for message in messages) // 4 + len(str(sent.get("tools", ""))) // 4
        made = calls(("find_parcel", {"parcel_id": "P-123"}), first=self.rounds)
        if sent.get("tool_choice") == "none":
            made = AIMessage("It is at the counter.")
        elif self.then and self.rounds == 1:
            made = self.then
        usage = {"input_tokens": read, "output_tokens": WROTE, "total_tokens": read + WROTE}
        return made.model_copy(update={"usage_metadata": usage})


@pytest.mark.parametrize("tokens", range(20_000, 300_001, 35_000))
async def test_whatever_the_budget_there_is_an_answer_at_its_end(world: World, tokens: int) -> None:
    searching = Searches(world)
    world.budget = BudgetSettings(tokens=tokens, usd=1_000, seconds=1_000)
    given = await answer(world.agent(), QUESTION, NORTH)
    assert (given.status, given.text) == ("answered", "It is at the counter."), given
    assert (given.usage.input_tokens or 0) + (given.usage.output_tokens or 0) <= tokens
    assert searching.rounds >= 2


@pytest.mark.parametrize("usd", [0.02, 0.05, 0.11, 0.2])
async def test_money_ends_softly_as_well(world: World, usd: float) -> None:
    Searches(world)
    world.prices = PerToken()  # type: ignore[assignment]
    world.budget = BudgetSettings(tokens=10**9, usd=usd, seconds=1_000)
    given = await answer(world.agent(), QUESTION, NORTH)
    assert (given.status, given.text) == ("answered", "It is at the counter."), given


class PerToken:
    def price(self, call: Call) -> Price:
        read, wrote = call.usage.input_tokens or 0, call.usage.output_tokens or 0
        return Price(Decimal(read) / 10**6 + 4 * Decimal(wrote) / 10**6, "stated")


async def test_so_does_the_time(world: World) -> None:
    searching = Searches(world, length=100, seconds=7)
    world.budget = BudgetSettings(seconds=60)
    given = await answer(world.agent(), QUESTION, NORTH)
    assert (given.status, given.text) == ("answered", "It is at the counter."), given
    assert 5 <= searching.rounds <= 8


async def test_what_was_done_and_found_is_shown_where_the_budget_ends_all_the_same(world: World) -> None:
    def reply(messages: Sequence[BaseMessage]) -> AIMessage:
        results = [message for message in messages if isinstance(message, ToolMessage)]
        if not results:
            return calls(("send_parcel", {"parcel_id": "P-124", "reason": "urgent"}))
        if len(results) == 1:
            return calls(("search_documents", {"query": "weight of a parcel"}), first=2)
        world.clock.forward(seconds=100)
        raise TimeoutError

    world.chat = ScriptedChat(replies=(reply,), profile={"tool_calling": True, "max_input_tokens": 128_000})
    agent = world.agent()
    waiting = await answer(agent, AnswerRequest(question="Send P-124, it is urgent. How heavy may it be?"), NORTH)
    assert waiting.approval
    world.budget = BudgetSettings(seconds=60)
    done: Answer = await resume(world.agent(), Decision(approval_id=waiting.approval.approval_id, approve=True), LEAD)
    assert done.stop_reason == "budget"
    assert "Parcel P-124 has been sent." in done.text
    assert "A parcel may weigh at most 30 kilograms" in done.text
    assert [cited.uri for cited in done.citations][:1] == ["parcels.md"]

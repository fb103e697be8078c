"""A judge that asks the chat model from a thread: paid by the run that is at work, for the tenant whose run it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from extensions.development.scripted_chat import ScriptedChat
from foundation.errors import BudgetExceeded, ModelForbidden
from foundation.machine.deadline import in_thread
from models.contract import BaseChatModel
from models.resilience.resilient_chat import resilient
from models.settings import ResilienceSettings
from orchestration.effects.policy import Policy
from orchestration.run.budget import Budget
from orchestration.run.metered_chat import MeteredChatModel
from orchestration.run.run import Run, running
from orchestration.settings import BudgetSettings, PolicySettings, TenantRules
from tests.doubles.orchestration import NORTH, World

PAIRS = [("a refund is paid", "a refund"), ("a refund is paid", "penguins breed")]


@pytest.fixture
def world(data_dir: Path) -> Iterator[World]:
    world = World(data_dir)
    world.chat = ScriptedChat(replies=(lambda _: AIMessage("supported"),))
    yield world
    world.close()


class Judge:
    """A double: asks the chat model once for each pair."""

    def __init__(self, chat: BaseChatModel) -> None:
        self.chat = chat

    def support(self, pairs: Sequence[tuple[str, str]]) -> list[str]:
        return [self.chat.invoke(f"{text}: {claim}").text for text, claim in pairs]


def judge(world: World) -> Judge:
    return Judge(MeteredChatModel(inner=world.chat))


def run_of(world: World, **limits: Any) -> Run:
    budget = Budget(BudgetSettings(**limits), world.clock)
    return Run(parts=world.parts(), principal=NORTH, answer_id="a-1", budget=budget, emit=lambda _: None)


async def test_each_call_is_charged_to_the_run(world: World) -> None:
    run = run_of(world)
    with running(run):
        assert await in_thread(judge(world).support, PAIRS) == ["supported"] * 2
    charges = [(charge.kind, charge.tenant, charge.answer_id) for charge in world.till.charges]
    assert charges == [("chat", "north", "a-1")] * 2
    assert run.budget.tokens > 0


async def test_a_call_that_does_not_fit_is_not_made(world: World) -> None:
    with running(run_of(world, tokens=1)), pytest.raises(BudgetExceeded):
        await in_thread(judge(world).support, PAIRS)
    assert world.till.charges == []


async def test_a_tenant_whose_policy_forbids_the_model_has_nothing_judged_by_it(world: World) -> None:
    policy = Policy(PolicySettings(tenants={"north": TenantRules(models=("another",))}))
    world.chat = resilient(world.chat, [], ResilienceSettings(attempts=1), world.clock, policy.demand_model)
    with running(run_of(world)), pytest.raises(ModelForbidden):
        await in_thread(judge(world).support, PAIRS)


async def test_what_a_judge_says_is_no_word_of_the_answer(world: World) -> None:
    run = run_of(world)
    with running(run):
        await in_thread(judge(world).support, PAIRS * 4)
    assert (run.bill.first_token_s, run.bill.calls) == (None, 0)
    assert run.bill.usage.output_tokens == sum(charge.usage.output_tokens for charge in world.till.charges)


async def test_on_the_event_loop_it_is_an_error_and_not_a_deadlock(world: World) -> None:
    model = MeteredChatModel(inner=world.chat)
    with running(run_of(world)), pytest.raises(RuntimeError, match="in_thread"):
        model.invoke("x")


def test_outside_of_a_run_it_is_called_as_it_is(world: World) -> None:
    assert judge(world).support(PAIRS) == ["supported"] * 2
    assert world.till.charges == []

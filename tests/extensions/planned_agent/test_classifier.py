"""The planner `classifier` reads tools and arguments from a request, or asks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, Field

from extensions.development.hashing_embedder import HashingEmbedder
from extensions.planned_agent.plan import Plan, PlanStep
from extensions.planned_agent.planners.classifier import ClassifierPlanner
from extensions.planned_agent.planners.classifier import Options as ClassifierOptions
from extensions.planned_agent.plans import adapt_plan, ready_steps, resolve_arguments, rewrite
from extensions.planned_agent.stated_arguments import arguments_in, describe
from foundation.components import Context, load
from foundation.settings import Part
from models.encoders.remembering import RememberingEmbedder
from orchestration.actions import ToolOutcome
from tests.extensions.planned_agent.doubles import PROMPTING

GOLDEN = Path("examples/support_desk/golden.jsonl")


def golden() -> list[dict[str, Any]]:
    return [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]


class Everything(BaseModel):
    code: Annotated[str, Field(pattern=r"^AB-\d{3}$")]
    note: str = Field(max_length=20)
    speed: Literal["slow", "fast"] | None = None
    amount_usd: float | None = None
    aside: str | None = None


TOOL = StructuredTool.from_function(lambda **_: "", name="all", description="all", args_schema=Everything)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("send AB-123", {"code": "AB-123"}),
        ("send ab-123 please", {"code": "AB-123"}),
        ("send AB-1234", {}),
        ("send XAB-123", {}),
        ("make it FAST.", {"speed": "fast"}),
        ("make it faster", {}),
        ("pay 20 USD", {"amount_usd": 20.0}),
        ("pay $12.50 now", {"amount_usd": 12.5}),
        ("pay 7,25 euros", {"amount_usd": 7.25}),
        ("pay 20 parcels", {}),
    ],
)
def test_arguments_are_read_from_the_question_or_not_at_all(question: str, expected: dict[str, Any]) -> None:
    assert arguments_in(question, TOOL) == {"note": question[:20], **expected}


class Order(BaseModel):
    lamp: Annotated[str, Field(pattern=r"^L-\d+$", description="The lamp, such as L-17.")]
    pieces: int = Field(description="How many")


@pytest.mark.parametrize(
    ("question", "pieces"),
    [
        ("order 4 lamps L-17", 4),
        ("lamps L-17 please, 4.", 4),
        ("order 4 lamps L-17. I said 4", 4),
        ("order 4 or 5 lamps L-17", None),
        ("order lamps L-17 by 10:30 on 2026-05-04", None),
        ("order lamps L-17 at 5 % off, 3.5 kg", None),
    ],
)
def test_a_count_is_the_only_number_that_stands_by_itself(question: str, pieces: int | None) -> None:
    tool = StructuredTool.from_function(lambda **_: "", name="order", description="order", args_schema=Order)
    expected = {"lamp": "L-17"} if pieces is None else {"lamp": "L-17", "pieces": pieces}
    assert arguments_in(question, tool) == expected


def test_what_is_missing_is_asked_for_inside_a_sentence() -> None:
    tool = StructuredTool.from_function(lambda **_: "", name="order", description="order", args_schema=Order)
    assert [describe(tool, name) for name in ("lamp", "pieces")] == ["the lamp, such as L-17", "how many"]


@pytest.mark.parametrize(
    ("question", "speed"),
    [
        ("Please send it, this is urgent!", "fast"),
        ("Please send it, it is not urgent", "slow"),
        ("Please send it, the insurgents wait", None),
        ("it is urgent, but send it slow", "slow"),
    ],
)
def test_a_choice_may_be_said_in_the_words_that_the_tool_declares(question: str, speed: str | None) -> None:
    said_as = {"speed": {"fast": ("urgent",), "slow": ("not urgent",)}}
    tool = TOOL.model_copy(update={"metadata": {"choice_phrases": said_as}})
    assert arguments_in(question, tool).get("speed") == speed


def test_another_query_joins_the_question_before_it_or_keeps_the_content_words() -> None:
    assert rewrite("And for scanners?", "How long is the warranty?") == "How long is the warranty? And for scanners?"
    assert rewrite("How long is the warranty of a scanner?", None) == "long warranty scanner"
    assert rewrite("What is it?", None) == "What is it?"


async def test_without_tools_every_question_is_answered() -> None:
    plan = await ClassifierPlanner(HashingEmbedder(64), ClassifierOptions()).plan(
        "refund P-123", [], run=PROMPTING, allowed=frozenset()
    )  # type: ignore[arg-type]
    assert plan.route == "answer"


def step(step_id: str, kind: Any = "look_up", **changes: Any) -> PlanStep:
    return PlanStep(step_id=step_id, kind=kind, ask="a", **changes)


def ids(steps: Iterable[PlanStep]) -> list[str]:
    return [one.step_id for one in steps]


def test_what_waits_for_nothing_is_begun_side_by_side_and_the_rest_when_it_can() -> None:
    plan = Plan(route="several", steps=(step("1"), step("2", "answer"), step("3", after=("1",))))
    assert ids(ready_steps(plan, [])) == ["1", "2"]
    done = plan.model_copy(update={"steps": (step("1", outcome="done"), *plan.steps[1:])})
    assert ids(ready_steps(done, ["1", "2"])) == ["3"]


def test_effects_happen_one_after_another() -> None:
    plan = Plan(route="several", steps=(step("1", "act"), step("2", "act")))
    assert ids(ready_steps(plan, [])) == ["1"]
    waiting = plan.model_copy(update={"steps": (step("1", "act", outcome="waiting"), plan.steps[1])})
    assert ids(ready_steps(waiting, ["1"])) == []
    denied = plan.model_copy(update={"steps": (step("1", "act", outcome="failed"), plan.steps[1])})
    assert ids(ready_steps(denied, ["1"])) == ["2"]


def test_what_needs_a_failed_step_is_left_out_and_so_is_what_needs_that() -> None:
    failed = step("1", outcome="failed", detail="failed (tool)")
    plan = adapt_plan(Plan(route="several", steps=(failed, step("2", "act", after=("1",)), step("3", after=("2",)))))
    assert [one.outcome for one in plan.steps] == ["failed", "skipped", "skipped"]
    assert plan.changes == (
        "step 2 is left out: step 1 was not done",
        "step 3 is left out: step 2 was not done",
    )


def test_a_value_of_an_earlier_step_is_put_in_and_one_that_is_not_there_stays_visible() -> None:
    outcomes = {"1": ToolOutcome(tool="t", status="done", content="", artifact={"id": "P-1"})}
    assert resolve_arguments({"a": "$1.id", "b": "$1.no", "c": "$2.id", "d": 3}, outcomes) == {
        "a": "P-1", "b": "$1.no", "c": "$2.id", "d": 3,
    }  # fmt: skip


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> ClassifierPlanner:
    context = Context(data_dir=tmp_path_factory.mktemp("var"))
    embedder = load("models.embedder", Part(use="openvino"), context)
    return ClassifierPlanner(RememberingEmbedder(embedder), ClassifierOptions())


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> list[BaseTool]:
    context = Context(data_dir=tmp_path_factory.mktemp("desk"))
    tools: list[BaseTool] = load("orchestration.tools", Part(use="tests.doubles.desk:build"), context)
    return tools


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> list[BaseTool]:
    context = Context(data_dir=tmp_path_factory.mktemp("example"))
    tools: list[BaseTool] = load("orchestration.tools", Part(use="examples.support_desk.tools:build"), context)
    return tools


def tool_of(plan: Plan) -> str:
    return " and ".join(one.tool for one in plan.steps if one.tool)


async def tool_for(planner: ClassifierPlanner, desk: list[BaseTool], question: str) -> Plan:
    return await planner.plan(question, desk, run=PROMPTING, allowed=frozenset(tool.name for tool in desk))  # type: ignore[arg-type]


@pytest.mark.real_model
@pytest.mark.parametrize(
    ("question", "route", "tool"),
    [
        ("Can I get a refund?", "answer", ""),
        ("How do refunds work?", "answer", ""),
        ("What is the refund policy for opened boxes?", "answer", ""),
        ("Who approves refunds above 500 USD?", "answer", ""),
        ("How long do you keep tickets?", "answer", ""),
        ("My printer prints blank labels", "answer", ""),
        ("please refund order QM-10017", "act", "refund"),
        ("Can you refund QM-10025? The print heads were the wrong ones.", "act", "refund"),
        ("refund my order", "clarify", "refund"),
        ("What's the status of my order?", "clarify", "find_order"),
        ("track QM-10039", "look_up", "find_order"),
        ("I would like to talk to a human being, please", "hand_over", ""),
        ("Can I talk to someone who is not a bot?", "hand_over", ""),
    ],
)
async def test_a_question_about_a_rule_is_told_from_a_request(
    minilm: ClassifierPlanner, desk: list[BaseTool], question: str, route: str, tool: str
) -> None:
    plan = await tool_for(minilm, desk, question)
    assert (plan.route, tool_of(plan)) == (route, tool), plan.reason


@pytest.mark.real_model
@pytest.mark.parametrize(
    ("question", "steps"),
    [
        ("Where is QM-10042, and how long is the warranty of the QP-5?", ["look_up find_order", "answer"]),
        ("Where is QM-10042, and how long is its warranty?", ["look_up find_order", "answer"]),
        ("Where is QM-10042, and what is its price?", ["look_up find_order"]),
        ("Where is QM-10042, and what is its current status?", ["look_up find_order"]),
        ("Where is QM-10042, and how much was its total price?", ["look_up find_order"]),
        ("What was in order QM-10040 and what did it cost?", ["look_up find_order"]),
        ("Refund QM-10017 and QM-10018, please.", ["act refund", "act refund"]),
        ("Track order QM-10017 and then refund it", ["look_up find_order", "act refund after 1"]),
        (
            "Check order QM-10017, refund it, and tell me who approves refunds above 500 USD.",
            ["look_up find_order", "act refund after 1", "answer"],
        ),
        ("How long is the warranty and who approves refunds above 500 USD?", ["answer", "answer"]),
        ("We ordered a printer by mistake and haven't opened it. How long do we have to send it back?", ["answer"]),
    ],
)
async def test_a_request_of_several_parts_is_cut_into_steps(
    minilm: ClassifierPlanner, desk: list[BaseTool], question: str, steps: list[str]
) -> None:
    plan = await tool_for(minilm, desk, question)
    assert [f"{one.kind} {one.tool}".strip() + "".join(f" after {n}" for n in one.after) for one in plan.steps] == steps
    assert all(not one.missing for one in plan.steps)


@pytest.mark.real_model
async def test_a_tool_that_the_caller_may_not_use_is_planned_as_a_refusal(
    minilm: ClassifierPlanner, desk: list[BaseTool]
) -> None:
    plan = await minilm.plan("please refund order QM-10017", desk, run=PROMPTING, allowed=frozenset({"find_order"}))  # type: ignore[arg-type]
    assert plan.route == "refuse"


@pytest.mark.real_model
@pytest.mark.needs("examples.support_desk.tools")
async def test_the_golden_requests_reach_their_tools_and_the_questions_the_documents(
    minilm: ClassifierPlanner, example: list[BaseTool]
) -> None:
    rows = golden()
    requests = [row for row in rows if row["tool"]]
    questions = [row for row in rows if not row["tool"]][::4]
    wrong = []
    for row in requests + questions:
        plan = await tool_for(minilm, example, row["question"])
        if tool_of(plan) != (row["tool"] or {}).get("name", "") or plan.route == "hand_over":
            wrong.append((row["id"], plan))
    assert len(wrong) <= len(rows) // 50, wrong


@pytest.mark.real_model
@pytest.mark.needs("examples.support_desk.tools")
async def test_the_golden_identifiers_and_amounts_are_read(minilm: ClassifierPlanner, example: list[BaseTool]) -> None:
    rows = golden()
    for row in (row for row in rows if row["tool"] and "order_id" in row["tool"]["arguments"]):
        plan = await tool_for(minilm, example, row["question"])
        assert plan.steps[0].arguments["order_id"] == row["tool"]["arguments"]["order_id"]

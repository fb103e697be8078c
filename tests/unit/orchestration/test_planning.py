from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, Field

from foundation.components import Context, load
from foundation.errors import UpstreamMalformed
from foundation.settings import BudgetSettings, Part
from models.chat.scripted import ScriptedChat
from models.embedders.hashing import HashingEmbedder
from orchestration.budget import Budget
from orchestration.planning import ClassifierPlanner, ModelPlanner, Plan, arguments_in, rewrite
from orchestration.run import Run
from tests.doubles.orchestration import NORTH, Depot, World

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


def test_another_query_joins_the_question_before_it_or_keeps_the_content_words() -> None:
    assert rewrite("And for scanners?", "How long is the warranty?") == "How long is the warranty? And for scanners?"
    assert rewrite("How long is the warranty of a scanner?", None) == "long warranty scanner"
    assert rewrite("What is it?", None) == "What is it?"


async def plan_with(tmp_path: Path, reply: AIMessage | str) -> Plan:
    world = World(tmp_path, chat=ScriptedChat(replies=(reply,)))
    budget = Budget(BudgetSettings(), world.clock)
    run = Run(parts=world.parts(), principal=NORTH, answer_id="a", budget=budget, emit=lambda _: None)
    plan = await ModelPlanner().plan("send P-123", Depot().tools(), run, allowed=frozenset({"send_parcel"}))
    world.close()
    return plan


async def test_the_models_tool_call_becomes_the_plan(tmp_path: Path) -> None:
    call = {"name": "send_parcel", "args": {"parcel_id": "P-123", "reason": "asked"}, "id": "1"}
    plan = await plan_with(tmp_path, AIMessage("", tool_calls=[call]))
    assert (plan.route, plan.tool, plan.arguments) == ("tool", "send_parcel", call["args"])


async def test_a_model_that_calls_no_tool_wants_an_answer(tmp_path: Path) -> None:
    assert (await plan_with(tmp_path, "ANSWER")).route == "answer"


async def test_a_tool_call_without_a_required_argument_asks_back(tmp_path: Path) -> None:
    call = {"name": "send_parcel", "args": {"parcel_id": "P-123"}, "id": "1"}
    plan = await plan_with(tmp_path, AIMessage("", tool_calls=[call]))
    assert (plan.route, plan.missing) == ("clarify", ("reason",))


async def test_a_tool_call_that_is_no_json_is_an_error(tmp_path: Path) -> None:
    broken = {"name": "send_parcel", "args": "{parcel", "id": "1", "error": "no JSON", "type": "invalid_tool_call"}
    with pytest.raises(UpstreamMalformed):
        await plan_with(tmp_path, AIMessage("", invalid_tool_calls=[broken]))


async def test_without_tools_every_question_is_answered() -> None:
    plan = await ClassifierPlanner(HashingEmbedder(64)).plan("refund P-123", [], run=None, allowed=frozenset())  # type: ignore[arg-type]
    assert plan.route == "answer"


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> ClassifierPlanner:
    context = Context(data_dir=tmp_path_factory.mktemp("var"))
    return ClassifierPlanner(load("models.embedder", Part(use="openvino"), context))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> list[BaseTool]:
    context = Context(data_dir=tmp_path_factory.mktemp("desk"))
    tools: list[BaseTool] = load("orchestration.tools", Part(use="examples.support_desk.tools:build"), context)
    return tools


async def tool_for(planner: ClassifierPlanner, desk: list[BaseTool], question: str) -> Plan:
    return await planner.plan(question, desk, run=None, allowed=frozenset())  # type: ignore[arg-type]


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
        ("please refund order QM-10017", "tool", "refund"),
        ("Can you refund QM-10025? The print heads were the wrong ones.", "tool", "refund"),
        ("refund my order", "clarify", "refund"),
        ("What's the status of my order?", "clarify", "find_order"),
        ("track QM-10039", "tool", "find_order"),
    ],
)
async def test_a_question_about_a_rule_is_told_from_a_request(
    minilm: ClassifierPlanner, desk: list[BaseTool], question: str, route: str, tool: str
) -> None:
    plan = await tool_for(minilm, desk, question)
    assert (plan.route, plan.tool) == (route, tool), plan.reason


@pytest.mark.real_model
async def test_the_golden_requests_reach_their_tools_and_the_questions_the_documents(
    minilm: ClassifierPlanner, desk: list[BaseTool]
) -> None:
    rows = golden()
    requests = [row for row in rows if row["tool"]]
    questions = [row for row in rows if not row["tool"]][::4]
    wrong = []
    for row in requests + questions:
        plan = await tool_for(minilm, desk, row["question"])
        if plan.tool != (row["tool"] or {}).get("name", ""):
            wrong.append((row["id"], plan))
    assert len(wrong) <= len(rows) // 50, wrong


@pytest.mark.real_model
async def test_the_golden_identifiers_and_amounts_are_read(minilm: ClassifierPlanner, desk: list[BaseTool]) -> None:
    rows = golden()
    for row in (row for row in rows if row["tool"] and "order_id" in row["tool"]["arguments"]):
        plan = await tool_for(minilm, desk, row["question"])
        assert plan.arguments["order_id"] == row["tool"]["arguments"]["order_id"]

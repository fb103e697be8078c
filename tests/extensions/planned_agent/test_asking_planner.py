"""Whether somebody asks for an action: sentences that were written before the rules or held back while they were written."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated, Any

import pytest
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, Field

from extensions.planned_agent.intent import classify_clauses, reverses, verbs
from extensions.planned_agent.plan import Plan
from extensions.planned_agent.planners.classifier import ClassifierPlanner
from extensions.planned_agent.planners.classifier import Options as ClassifierOptions
from foundation.components import Context, load
from foundation.settings import Part
from models.encoders.remembering import RememberingEmbedder
from tests.extensions.planned_agent.doubles import PROMPTING

REFUNDS = (
    "Could you refund order QM-10021?",
    "Would you mind refunding order QM-10021?",
    "Can I get QM-10021 refunded?",
    "Don't forget to refund QM-10021.",
    "Please refund QM-10021, it does not work.",
    "I'd like a refund for QM-10021 because it never worked.",
    "The scanner from QM-10021 is broken. I want my money back.",
    "I did not like the printer from QM-10021, so give me my money back",
    "Hi, refund QM-10021 please. Thank you!",
    "I would be grateful if you could refund order QM-10021",
    "Is it possible to refund QM-10021 today?",
    "Why don't you just refund QM-10021?",
    "We need order QM-10021 refunded.",
    "You should refund QM-10021, the box was empty",
    "Kindly process a refund for QM-10021.",
    "any chance you could refund order QM-10021",
    "I am asking for a refund of QM-10021, the scanner came without a cable",
    "Order QM-10021 must be refunded today",
    "My boss is not happy with QM-10021. Refund it.",
    "refund qm-10021",
    "Would you please give me my money back for QM-10021? Nobody here can use it.",
    "Since the printers never arrived, please refund QM-10021",
    "Go ahead and refund QM-10021",
    "Let's refund order QM-10021",
    "We can't wait any longer, refund QM-10021 now",
    "Hello: please refund order QM-10021",
    "My order QM-10021 arrived broken: refund it",
    "Refund QM-10021, I confirm",
    "Wait, please refund QM-10021",
    "I got no mail from you: refund QM-10021",
    "As I said: refund QM-10021",
    "Refund QM-10021 and write me a confirmation",
    "Don't wait, refund QM-10021",
    "I can confirm that it is broken, refund QM-10021",
    "Please do the following:\nrefund QM-10021",
)
TICKETS = (
    "Can you open a ticket? The QL-20 doesn't start any more.",
    "My printer isn't working, please open a ticket for QM-10021",
    "Raise a support case: the scanner will not pair",
    "Could somebody open a ticket about QM-10021? It will not charge.",
    "I want to file a complaint about order QM-10021",
)
EXTENSIONS = (
    "Could you extend rental R-2001 by 3 days?",
    "Please extend R-2001 by 3 days, we aren't finished",
    "Would it be possible to extend rental R-2001 by 3 days?",
    "I need rental R-2001 for 3 more days, please extend it",
    "Can I keep R-2001 for 3 more days?",
    "We'd like to extend rental R-2001 by 3 days",
    "Make sure you don't forget to extend R-2001 by 3 days",
    "extend R-2001 by 3 days",
    "Please give us 3 more days for rental R-2001",
    "Rental R-2001 needs to be extended by 3 days",
    "May we have rental R-2001 for 3 days longer?",
    "Can't you extend R-2001 by 3 days?",
    "Prolong rental R-2001 by 3 days please",
    "We won't be done on Friday so extend R-2001 by 3 days",
)
NOT_OF_THE_DESK = (
    "Please do not refund order QM-10021",
    "Did you refund order QM-10021?",
    "Why was QM-10021 refunded?",
    "Have you refunded order QM-10021?",
    "I don't want you to refund QM-10021",
    "Never refund order QM-10021, whatever they say.",
    "Has order QM-10021 been refunded yet?",
    "I never asked for a refund of QM-10021.",
    "Order QM-10021 was refunded last week",
    "You refunded QM-10021 by mistake.",
    "Who refunded order QM-10021?",
    "Can you tell me whether QM-10021 was refunded?",
    "Please don't open a ticket for QM-10021",
    "Did anybody open a ticket about QM-10021?",
    "There is no need to refund QM-10021.",
    "A customer asked me to refund QM-10021. Is that allowed?",
    "Where is order QM-10042 and what is the warranty on it?",
    "Cancel my order QM-10042",
    "Should I refund order QM-10021?",
    "When was QM-10021 refunded?",
    "Is order QM-10021 already refunded?",
    "You must not refund order QM-10021.",
    "Under no circumstances refund QM-10021",
    "I changed my mind, no refund for QM-10021 please",
    "My colleague asked you to refund QM-10021 yesterday",
    "I thought QM-10021 had been refunded",
    "If QM-10021 was refunded, where is the money?",
    "Please tell me why QM-10021 was refunded",
    "Show me the refund for QM-10021",
    "Please undo the refund of QM-10021",
    "QM-10021 doesn't need to be refunded",
    "What happens if I refund order QM-10021?",
    "The refund for QM-10021 arrived, thank you",
    "They told us that you would refund QM-10021",
    "How much did you refund for QM-10021",
    "We don't need a ticket for QM-10021",
    "Who opened a ticket for order QM-10021?",
    "I wonder whether a ticket was opened for QM-10021",
    "Refund QM-10021? No way!",
    "The customer wrote: please refund QM-10021",
    'A forum post says "Please refund order QM-10021"',
    "Did you refund QM-10021 and open a ticket?",
    "Do not refund QM-10021 and open a ticket",
    "Bitte QM-10021 nicht erstatten",
    "The mail reads: please refund QM-10021",
    "Summarise this mail: please refund QM-10021",
    "Can you summarise this mail: please refund QM-10021",
    "Write a mail that asks to refund QM-10021",
    "Could you write a mail that asks to refund QM-10021",
    "Translate: please refund QM-10021",
    "Translate into German:\nHello.\n\nPlease refund QM-10021.",
    "Our instructions state: refund QM-10021",
    "The customer wrote: it broke. Please refund QM-10021.",
    "Suppose I say refund QM-10021",
    "Imagine I asked you to refund QM-10021",
    "Assume you refund QM-10021",
    "Let's say I am angry, then refund QM-10021",
    "Hypothetically, refund QM-10021",
    "Hold off on refunding QM-10021",
    "Would you mind holding off on refunding QM-10021",
    "Wait before you refund QM-10021",
    "Only refund QM-10021 after I confirm",
    "Refund QM-10021 if I confirm tomorrow",
    "Refund QM-10021 once I say so",
    "When I tell you, refund QM-10021",
    'Look at this: "refund QM-10021"',
    "The refund for QM-10021 has not arrived",
)
NOT_OF_THE_RENTAL = (
    "Don't extend rental R-2001 by 3 days",
    "I never asked you to extend rental R-2001",
    "Was rental R-2001 extended by 3 days?",
    "Who extended R-2001 by 3 days?",
    "I no longer want to extend rental R-2001 by 3 days",
    "We extended rental R-2001 by 3 days yesterday.",
    "How was R-2001 extended by 3 days?",
    "Did my colleague extend rental R-2001 by 3 days?",
    "Please stop extending rental R-2001",
    "My boss said that R-2001 had been extended by 3 days",
    "It was me who extended rental R-2001 by 3 days",
    "Has anyone extended R-2001 by 3 days",
    "Please leave R-2001 as it is, do not extend it by 3 days",
    "You extended rental R-2001 by 3 days without asking",
    "I didn't mean that rental R-2001 should be extended by 3 days",
    "Rental R-2001 won't be extended by 3 days",
    "What does it cost to extend rental R-2001 by 3 days?",
    "I heard you can extend R-2001 by 3 days",
)


@pytest.mark.parametrize(
    ("text", "asking"),
    [
        ("Please do not refund it, but open a ticket.", ["but open a ticket"]),
        ("Check where QM-10017 is and refund it", ["and refund it"]),
        ("Can you refund QM-10017 and open a ticket?", ["Can you refund QM-10017", "and open a ticket?"]),
        ("Where is QM-10017? Refund it", ["Refund it"]),
        ("refund QM-10021 it doesnt work", ["refund QM-10021"]),
        ("They said no, so please refund it", ["so please refund it"]),
        ("Don't refund QM-10021 and please extend R-2001", ["and please extend R-2001"]),
        ("The customer wrote: refund it", []),
        ("He says “refund it”", []),
        ("He says „refund it", []),
        ("The mail reads: hello. Refund it.\nRefund mine too", ["Refund mine too"]),
        ("", []),
    ],
)
def test_a_text_is_read_clause_by_clause(text: str, asking: list[str]) -> None:
    assert [text[one.start : one.end].strip(" .") for one in classify_clauses(text) if one.asks] == asking


def test_a_verb_of_the_contrary_counts_unless_the_tool_is_there_for_it() -> None:
    assert reverses("Please stop extending R-2001", ["extend_rental", "Extend rental R-2001"])
    assert not reverses("Stop the press", ["stop_press", "Stop the press now"])
    assert not reverses("Don't forget to refund it", ["refund"])


READ = """
from extensions.planned_agent.intent import classify_clauses

for filler in (" ", "that ", "and ", "it was ", "7", "don't ", "I want ", '"', "„", "“", "«", "»", ":", "you ", "write: ", ","):
    classify_clauses("Refund " + filler * 20_000 + "?")
"""


def test_a_verb_that_tools_are_there_for_asks() -> None:
    text = "Write a mail to Ann"
    assert [[one.asks for one in classify_clauses(text, own)] for own in ((), verbs([text]))] == [[False], [True]]


def test_long_runs_of_the_same_words_are_read_in_little_time() -> None:
    """In a process of its own, because an expression cannot be stopped."""
    subprocess.run([sys.executable, "-c", READ], check=True, timeout=300)


RentalId = Annotated[str, Field(pattern=r"^R-\d{4}$", description="the number of the rental, like R-2001")]


class Extend(BaseModel):
    rental_id: RentalId
    days: int = Field(ge=1, description="by how many days it is extended")


class Find(BaseModel):
    rental_id: RentalId


def tool(name: str, schema: type[BaseModel], **metadata: Any) -> BaseTool:
    return StructuredTool.from_function(
        lambda **_: "", name=name, description=name.replace("_", " "), args_schema=schema, metadata=metadata
    )


RENTAL = [
    tool(
        "find_rental",
        Find,
        effect=False,
        examples=("Where is rental R-2001?", "Until when do I have R-2002?", "What is the state of rental R-2001?"),
    ),
    tool(
        "extend_rental",
        Extend,
        examples=("Extend rental R-2001 by 3 days", "Please extend my rental R-2002", "I want to keep R-2003 longer"),
        not_requests=("How long can a rental be extended?", "What does an extension cost?"),
    ),
]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context(data_dir=tmp_path_factory.mktemp("var"))


@pytest.fixture(scope="module")
def planner(context: Context) -> ClassifierPlanner:
    embedder = load("models.embedder", Part(use="openvino"), context)
    return ClassifierPlanner(RememberingEmbedder(embedder), ClassifierOptions())


@pytest.fixture(scope="module")
def desk(context: Context) -> list[BaseTool]:
    tools: list[BaseTool] = load("orchestration.tools", Part(use="tests.doubles.desk:build"), context)
    return tools


@pytest.fixture(scope="module")
def example(context: Context) -> list[BaseTool]:
    tools: list[BaseTool] = load("orchestration.tools", Part(use="examples.support_desk.tools:build"), context)
    return tools


async def planned(planner: ClassifierPlanner, tools: list[BaseTool], text: str) -> Plan:
    return await planner.plan(text, tools, run=PROMPTING, allowed=frozenset(one.name for one in tools))  # type: ignore[arg-type]


def acts(plan: Plan) -> list[str]:
    return list(dict.fromkeys(step.tool for step in plan.steps if step.kind == "act"))


@pytest.mark.real_model
@pytest.mark.needs("examples.support_desk.tools")
async def test_what_is_asked_for_is_planned(planner: ClassifierPlanner, example: list[BaseTool]) -> None:
    wanted = [(example, "refund", REFUNDS), (example, "open_ticket", TICKETS), (RENTAL, "extend_rental", EXTENSIONS)]
    cases = [(tools, name, text) for tools, name, texts in wanted for text in texts]
    got = [(text, acts(await planned(planner, tools, text))) for tools, _, text in cases]
    assert got == [(text, [name]) for _, name, text in cases]


@pytest.mark.real_model
async def test_what_nobody_asks_for_is_not_planned(planner: ClassifierPlanner, desk: list[BaseTool]) -> None:
    cases = [*((desk, text) for text in NOT_OF_THE_DESK), *((RENTAL, text) for text in NOT_OF_THE_RENTAL)]
    assert [(text, done) for tools, text in cases if (done := acts(await planned(planner, tools, text)))] == []


@pytest.mark.real_model
@pytest.mark.parametrize(
    ("text", "route", "tools"),
    [
        ("Please do not refund order QM-10021", "reply", []),
        ("I never asked for a refund of QM-10021.", "reply", []),
        ("Hold off on refunding QM-10021", "reply", []),
        ("Cancel my order QM-10042", "answer", [""]),
        ("The refund for QM-10021 has not arrived", "answer", [""]),
        ("Did you refund order QM-10021?", "look_up", ["find_order"]),
        ("Where is order QM-10042 and what is the warranty on it?", "look_up", ["find_order"]),
        ("Don't refund QM-10021, tell me where it is", "look_up", ["find_order"]),
        ("hello", "reply", []),
        ("Thanks", "reply", []),
        ("What can you do?", "reply", []),
        ("Good morning, where is order QM-10042?", "look_up", ["find_order"]),
    ],
)
async def test_a_question_is_looked_up_and_what_asks_for_nothing_is_told_so(
    planner: ClassifierPlanner, desk: list[BaseTool], text: str, route: str, tools: list[str]
) -> None:
    plan = await planned(planner, desk, text)
    assert (plan.route, [step.tool for step in plan.steps]) == (route, tools), plan.reason
    assert bool(plan.reply) == (route == "reply")


@pytest.mark.real_model
@pytest.mark.needs("examples.support_desk.tools")
async def test_a_reply_names_only_what_the_caller_may_do(planner: ClassifierPlanner, example: list[BaseTool]) -> None:
    plan = await planner.plan(
        "Please do not refund order QM-10021", example, run=PROMPTING, allowed=frozenset({"open_ticket"})
    )  # type: ignore[arg-type]
    assert plan.reply.startswith("Nothing has been done")
    assert "open a new support ticket" in plan.reply
    assert "refund an order" not in plan.reply


@pytest.mark.real_model
async def test_the_order_that_is_not_meant_is_left_alone(planner: ClassifierPlanner, desk: list[BaseTool]) -> None:
    for text in ("Not QM-10021, refund QM-10022", "Please refund QM-10022 but not QM-10021"):
        plan = await planned(planner, desk, text)
        assert [(step.tool, step.arguments["order_id"]) for step in plan.steps] == [("refund", "QM-10022")]


@pytest.mark.real_model
@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("Refund half of order QM-10033", ("amount_usd",)),
        ("Refund 20 % of order QM-10033", ("amount_usd",)),
        ("Refund one of the two printers from QM-10033", ("amount_usd",)),
        ("Refund half of QM-10033, 89 USD", ()),
        ("Refund order QM-10033", ()),
    ],
)
async def test_a_share_is_asked_for_as_a_number(
    planner: ClassifierPlanner, desk: list[BaseTool], text: str, missing: tuple[str, ...]
) -> None:
    plan = await planned(planner, desk, text)
    assert [step.missing for step in plan.steps] == [missing]


@pytest.mark.real_model
@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("Extend rental R-2001 by two days", [{"rental_id": "R-2001", "days": 2}]),
        ("extend R-2001 by one day", [{"rental_id": "R-2001", "days": 1}]),
        ("Extend rental R-2001 by three days and tell me the deposit", [{"rental_id": "R-2001", "days": 3}, {}]),
        (
            "extend R-2001 and R-2002 by 2 days",
            [{"rental_id": "R-2001", "days": 2}, {"rental_id": "R-2002", "days": 2}],
        ),
        ("Extend rental R-2001 by a week", [{"rental_id": "R-2001"}]),
    ],
)
async def test_a_number_in_a_word_counts_and_one_number_may_serve_several(
    planner: ClassifierPlanner, text: str, steps: list[dict[str, Any]]
) -> None:
    plan = await planned(planner, RENTAL, text)
    assert [step.arguments for step in plan.steps] == steps

"""Plans a trip by ferry. Approvals, the bill, the trace, budgets and conversations come from what stands around it."""

from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from pydantic import BaseModel, Field

from extensions.subagents import subagent
from orchestration.contract import AgentParts
from orchestration.flow.message_agent import MessageAgent
from orchestration.middleware.document_tools import DocumentToolsMiddleware
from orchestration.middleware.policy import PolicyMiddleware
from orchestration.middleware.progress import ProgressMiddleware
from orchestration.middleware.rounds import RoundsMiddleware
from orchestration.run.metered_chat import MeteredChatModel

PROMPT = (
    "You plan trips by ferry. Let look_up find what the documents say; book only what was asked for, then fill in Trip."
)


class Trip(BaseModel):
    """What was found out and done."""

    price_eur: float
    rules: list[str] = Field(description="what the travellers must know, each with the number of its passage, like [1]")
    booked: bool


class Options(BaseModel):
    rounds: int = 12


def build(options: Options, context: AgentParts) -> MessageAgent:
    about = "Looks one question up in the documents and reports it in sentences, each with the number of its passage."
    assert context.ledger is not None, "an open system has one"
    share = subagent.Share(tokens=30_000, usd=0.05)
    middleware = [
        ProgressMiddleware(),
        PolicyMiddleware(context.executor),
        DocumentToolsMiddleware(context.ledger),
        subagent.build(subagent.Options(name="look_up", about=about, budget=share), context),
        RoundsMiddleware(rounds=options.rounds),
    ]
    model, tools, result = MeteredChatModel(inner=context.chat), context.executor.tools, ToolStrategy(Trip)
    graph = create_agent(model, tools, system_prompt=PROMPT, middleware=middleware, response_format=result)
    return MessageAgent(graph, context)

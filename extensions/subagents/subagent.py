"""An agent as a tool of the agent that calls tools. It works within the same run: its calls are on the answer's bill, its steps
and tools are events of the answer's stream, what it read has its number in the conversation, and its effects wait for approval.
"""

from pathlib import Path
from typing import Annotated, Any, NotRequired, cast

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRequest
from langchain.agents.middleware.types import AgentState
from langchain.tools import ToolRuntime
from langchain.tools.tool_node import ToolCallRequest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import BaseTool
from pydantic import Field

from extensions.subagents.budget import ShareOfBudget
from foundation.components import load
from foundation.errors import BudgetExceeded, ComponentError, InvalidSetting, did_you_mean
from foundation.settings import BESIDE_STACK, NamedPart, Section
from models.contract import BaseChatModel
from models.pricing import identity
from models.resilience.resilient_chat import resilient_as
from orchestration.contract import AgentParts
from orchestration.language.guard import without_foreign_urls
from orchestration.middleware.base import ReportingTool, RequestMiddleware, ToolHandler, ToolReply, reading_tool
from orchestration.middleware.context import ContextMiddleware
from orchestration.middleware.document_tools import DocumentToolsMiddleware, passage_numbers
from orchestration.middleware.policy import PolicyMiddleware, artifact_of, recorded_outcomes
from orchestration.middleware.progress import ProgressMiddleware
from orchestration.middleware.rounds import RoundsMiddleware
from orchestration.run.budget import Budget
from orchestration.run.metered_chat import MeteredChatModel, calls_tools, texts_read
from orchestration.run.run import Run, current_run, running
from orchestration.settings import BudgetSettings

# Limits of a run that are a sub-agent's own, too; others, such as those of a day, end the whole run
OWN_LIMITS = frozenset({"steps", "tokens", "usd", "seconds"})
# Most characters of one result of its tools that are kept, to hold the answer against
KEPT = 20_000

Task = Annotated[
    str,
    Field(min_length=1, max_length=8_000, description="what is to be done, in full: nothing else of the talk is seen"),
]


class Share(Section):
    """What one task may use, within the budget of the run."""

    steps: int = Field(default=50, ge=1)
    tokens: int = Field(default=100_000, ge=1)
    usd: float = Field(default=0.25, ge=0)
    seconds: float = Field(default=60, gt=0)


class Options(Section):
    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    """The name of the tool by which the model gives it a task."""
    about: str = Field(min_length=1)
    """What it is good for, for the model that gives it tasks."""
    prompt: Path | None = Field(default=None, json_schema_extra=BESIDE_STACK)
    """A file with its instructions; unset: `about` alone."""
    tools: tuple[str, ...] = ()
    """Tools of `[[orchestration.tools]]` that it may use, where the caller may."""
    documents: bool = True
    """Whether it may search and open documents."""
    model: NamedPart | None = None
    """Its chat model, as in `[models.chat]`; unset: the same."""
    rounds: int = Field(default=10, ge=2, le=100)
    """Most calls of its chat model for one task."""
    budget: Share = Share()


class SubAgentMiddleware(AgentMiddleware[Any, Any]):
    """Offers a sub-agent as one tool."""

    def __init__(self, options: Options, parts: AgentParts) -> None:
        self._options, self._parts = options, parts
        chat = _open_chat(options, parts)
        self._graph = create_agent(
            MeteredChatModel(inner=chat, told=False),
            _tools_of(options, parts),
            middleware=cast("Any", _middleware(options, parts, (chat.profile or {}).get("max_input_tokens"))),
        )
        self.tools: list[BaseTool] = [reading_tool(self._work, options.name, options.about, ReportingTool)]

    @property
    def name(self) -> str:
        return f"subagent_{self._options.name}"

    async def _work(self, task: Task, runtime: ToolRuntime) -> ToolMessage:
        run = current_run()
        run.passages.numbers.update(passage_numbers(runtime.state["messages"], run.passages.numbers))
        before = frozenset(run.passages.numbers)
        limits = BudgetSettings(**self._options.budget.model_dump())
        messages: list[AnyMessage] = []
        try:
            messages = await self._run_aside(task, run, ShareOfBudget(limits, self._parts.clock, run.budget))
            said = messages[-1].text.strip() if isinstance(messages[-1], AIMessage) else ""
            report = without_foreign_urls(said, texts_read(messages, run)) or "It came to no result."
            failed = not said
        except BudgetExceeded as error:
            if error.limit not in OWN_LIMITS or not _has_room(run.budget):
                raise
            report, failed = f"It used up its budget without a result: {error}", True
        except ComponentError as error:
            run.note(f"{self._options.name} came to no result ({error.code})")
            report, failed = f"It came to no result, since its model failed ({error.code}).", True
        return ToolMessage(
            report,
            name=self._options.name,
            tool_call_id=runtime.tool_call_id or "",
            status="error" if failed else "success",
            artifact=_artifact(messages, run, before),
        )

    async def _run_aside(self, task: str, run: Run, budget: Budget) -> list[AnyMessage]:
        with run.aside(budget, silent=True) as aside, running(aside):
            begin: Any = {"messages": [HumanMessage(task)]}
            state = await self._graph.ainvoke(begin, {"recursion_limit": 6 * self._options.rounds + 10})
        messages: list[AnyMessage] = state["messages"]
        return messages


class _PromptMiddleware(RequestMiddleware):
    """Sets the system message of a sub-agent."""

    def __init__(self, options: Options, parts: AgentParts) -> None:
        self._own, self._names, self._parts = _read_prompt(options), ["tool_calling"], parts
        if options.documents:
            self._names.insert(0, "tool_calling_documents")

    async def prepare(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        run = current_run()
        today = f"Today is {self._parts.clock.now():%A, %d %B %Y}."
        parts = [self._own, *(run.prompt(name).text for name in self._names), today]
        return request.override(system_message=SystemMessage("\n\n".join(parts)))


class _NumbersState(AgentState[Any]):
    numbers: NotRequired[dict[str, int]]
    """Of the passages, as they were shown; others at work beside it may have taken numbers, too."""


class _NumbersMiddleware(AgentMiddleware[_NumbersState, Any]):
    """Keeps the numbers of passages, so that a sub-agent which waited for an approval, maybe in a process that has ended, goes on with them."""

    state_schema = _NumbersState

    async def abefore_model(self, state: _NumbersState, runtime: Any) -> None:  # noqa: ARG002
        numbers = current_run().passages.numbers
        numbers.update({**state.get("numbers", {}), **numbers})

    async def aafter_model(self, state: _NumbersState, runtime: Any) -> dict[str, Any]:  # noqa: ARG002
        return {"numbers": dict(current_run().passages.numbers)}


class _OwnToolsMiddleware(AgentMiddleware[Any, Any]):
    """Refuses a call of a tool that is not its own, also where the executor knows one of that name."""

    async def awrap_tool_call(self, request: ToolCallRequest, handler: ToolHandler) -> ToolReply:
        if request.tool is not None:
            return await handler(request)
        name = request.tool_call["name"]
        return ToolMessage(
            f"There is no tool named {name}.", name=name, tool_call_id=request.tool_call["id"] or "", status="error"
        )


def _middleware(options: Options, parts: AgentParts, window: int | None) -> list[AgentMiddleware[Any, Any]]:
    documents = (
        [_NumbersMiddleware(), DocumentToolsMiddleware(parts.ledger)] if options.documents and parts.ledger else []
    )
    return [
        ProgressMiddleware(of=options.name),
        _PromptMiddleware(options, parts),
        _OwnToolsMiddleware(),
        PolicyMiddleware(parts.executor),
        *documents,
        ContextMiddleware(window=window),
        RoundsMiddleware(rounds=options.rounds),
    ]


def _tools_of(options: Options, parts: AgentParts) -> list[BaseTool]:
    tools = {tool.name: tool for tool in parts.executor.tools}
    if unknown := next((name for name in options.tools if name not in tools), ""):
        raise InvalidSetting(
            f'The sub-agent "{options.name}" lists the tool "{unknown}", which is none of [[orchestration.tools]]. '
            f"{did_you_mean(unknown, sorted(tools))}"
        )
    return [tools[name] for name in options.tools]


def _read_prompt(options: Options) -> str:
    if options.prompt is None:
        return options.about
    try:
        return options.prompt.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(
            f'The prompt "{options.prompt}" of the sub-agent "{options.name}" cannot be read: {error}. Name a file of '
            "instructions, relative to stack.toml."
        ) from error


def _open_chat(options: Options, parts: AgentParts) -> BaseChatModel:
    chat = parts.chat
    if options.model is not None:
        chat = resilient_as(parts.chat, load("models.chat", options.model, parts, expected=BaseChatModel))
    if not calls_tools(chat):
        raise InvalidSetting(
            f'The sub-agent "{options.name}" needs a model that calls tools, and {identity(chat)[1]} calls none. Name another one: '
            'model = { use = "...", model = "..." }.'
        )
    return chat


def _has_room(budget: Budget) -> bool:
    return budget.fits(tokens=1, usd=budget.usd * 0)


def _artifact(messages: list[AnyMessage], run: Run, before: frozenset[str]) -> dict[str, Any]:
    """Return what was read, for the check and the citations of the answer: passages by their ids and numbers, and results."""
    # also where it came to no result: its numbers are taken
    chunks = list(passage_numbers(messages)) or [chunk for chunk in run.passages.numbers if chunk not in before]
    days = {chunk: run.passages.days[chunk].isoformat() for chunk in chunks if chunk in run.passages.days}
    outcomes = recorded_outcomes(messages)
    return {
        "chunks": chunks,
        "numbers": [run.passages.numbers[chunk] for chunk in chunks],
        "days": days,
        "is_report": True,
        "read": [message.text[:KEPT] for message in messages if isinstance(message, ToolMessage)],
        "outcomes": [outcome.model_dump(mode="json") for outcome in outcomes],
        "effect": any(artifact_of(message).get("effect") for message in messages),
    }


def build(options: Options, context: AgentParts) -> SubAgentMiddleware:
    return SubAgentMiddleware(options, context)

"""The agent as a LangGraph graph, durable node by node.

    plan ─┬─ tool, tool, ... (side by side) ──────────────────────────────── gather ─┬─ tool, retrieve: what waited for it
          ├─ retrieve ─ grade ─┬─ compose ─ verify ─┬──────────────────────── gather ├─ approval ─ effect ─ gather
          │         └─ rewrite ┘            └─ compose (quoting, where refused)      └─ finish
          └─ finish (a question back, a refusal, a person)

With a store of earlier answers, `recall` stands before `retrieve` and looks for an earlier answer from documents.

The plan is made from the person's words before any document is read, and nothing read later can add a step: `gather`
changes it only after failures. Checkpoints hold questions, plans and answers as plain data, and no passages: a resumed
run searches again under the person's present rights.
"""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, Send, interrupt

from extensions.planned_agent.document_steps import Work
from extensions.planned_agent.plans import PlannedState
from extensions.planned_agent.run import PlannedRun
from extensions.planned_agent.steps import Options, PlannedAgent, Steps, close_turn, run_step
from orchestration.contract import AgentParts
from orchestration.flow.base_agent import MADE_BY, Begin, config_of
from orchestration.run.run import Run
from orchestration.run.state import State, StoredThread

__all__ = ["GraphAgent", "Options", "build", "picture"]


class GraphAgent(PlannedAgent):
    """A `PlannedAgent` on a LangGraph graph; a conversation is a thread."""

    name = "graph"

    def __init__(self, options: Options, parts: AgentParts) -> None:
        super().__init__(options, parts)
        self._graph = _graph(self._steps).compile(checkpointer=parts.checkpoints, name=self.name)

    async def _load_thread(self, thread_id: str) -> StoredThread:
        snapshot = await self._graph.aget_state(config_of(thread_id))
        ours = (snapshot.metadata or {}).get(MADE_BY, self.name) == self.name  # no node resumes another agent's
        state, waits = cast("PlannedState", snapshot.values), bool(snapshot.interrupts)
        waits_for = frozenset(filter(None, [state.get("approval_id")]))  # it has one at a time
        return StoredThread(state, waits, waits_for, unfinished=ours and bool(snapshot.next))

    async def _take_steps(self, begin: Begin, state: State, run: Run, config: RunnableConfig) -> State:
        go_on: Command[Any] | None = Command(resume={"decided": True}) if begin == "decided" else None
        start: Any = state if begin == "new" else go_on
        context = cast("PlannedRun", run)
        return cast("State", await self._graph.ainvoke(start, config, context=context, durability="sync"))


def build(options: Options, context: AgentParts) -> GraphAgent:
    return GraphAgent(options, context)


def picture() -> str:
    """Return the graph as mermaid text. Drawing runs no step, so the steps need no parts."""
    return _graph(Steps.__new__(Steps)).compile(name=GraphAgent.name).get_graph().draw_mermaid()


def _graph(steps: Steps) -> StateGraph[PlannedState, PlannedRun, PlannedState, PlannedState]:
    def after_grade(state: PlannedState) -> str:
        return "gather" if state.get("document_answer") else "rewrite" if steps.thin(state) else "compose"

    def after_plan(state: PlannedState) -> list[str | Send]:
        return ["recall" if target == "retrieve" and steps.recalls(state) else target for target in _next(state)]

    async def gather(state: PlannedState, runtime: Runtime[PlannedRun]) -> PlannedState:
        return await steps.gather(state, runtime.context)

    async def finish(state: PlannedState) -> PlannedState:
        return close_turn(state)

    graph = StateGraph(PlannedState, context_schema=PlannedRun)
    for name in ("plan", "tool", "recall", "retrieve", "grade", "rewrite", "compose", "verify", "effect"):
        graph.add_node(name, _node(name, getattr(steps, name)))
    graph.add_node("gather", gather)
    graph.add_node("approval", _wait_for_a_person)
    graph.add_node("finish", finish)
    graph.add_edge(START, "plan")
    graph.add_conditional_edges("plan", after_plan, ["tool", "recall", "retrieve", "finish"])
    graph.add_conditional_edges("recall", _unless_answered("retrieve"), ["retrieve", "gather"])
    graph.add_edge("tool", "gather")
    graph.add_conditional_edges("retrieve", _unless_answered("grade"), ["grade", "gather"])
    graph.add_conditional_edges("grade", after_grade, ["rewrite", "compose", "gather"])
    graph.add_edge("rewrite", "retrieve")
    graph.add_edge("compose", "verify")
    graph.add_conditional_edges("verify", _unless_answered("compose"), ["compose", "gather"])
    graph.add_conditional_edges("gather", _next, ["tool", "retrieve", "approval", "finish"])
    graph.add_edge("approval", "effect")
    graph.add_edge("effect", "gather")
    graph.add_edge("finish", END)
    return graph


def _node(name: str, work: Work) -> Callable[..., Awaitable[PlannedState]]:
    async def node(state: PlannedState, runtime: Runtime[PlannedRun]) -> PlannedState:
        return await run_step(name, work, state, runtime.context)

    return node


async def _wait_for_a_person(state: PlannedState) -> PlannedState:
    # the decision is read from the approvals, never from the value that resumes
    interrupt({"approval_id": state["approval_id"]})
    return {}


def _next(state: PlannedState) -> list[str | Send]:
    """Return the next nodes: steps that begin now, an approval, or the end; empty while other steps run."""
    if result := state.get("result"):
        return ["approval" if result["status"] == "waiting" else "finish"]
    batch, asking = state["batch"], set(state.get("open_questions", ()))
    tools: list[str | Send] = [Send("tool", {**state, "step": step_id}) for step_id in batch if step_id not in asking]
    return [*tools, "retrieve"] if asking & set(batch) else tools


def _unless_answered(node: str) -> Callable[[PlannedState], str]:
    """Return an edge to `node`, or to `gather` once there is a result from documents."""

    def choose(state: PlannedState) -> str:
        return "gather" if state.get("document_answer") else node

    return choose

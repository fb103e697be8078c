"""A team: a supervisor plans and gathers, four specialists do the work and pass it on by typed messages (`HAND_OFFS`).

The questions of a request are processed in parallel. A specialist has its own tools (search, the executor's tools,
the language model, the judge of grounding), its own budget within the run's, and a span for each piece of work. Their
steps are those that all agents share.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, cast

from pydantic import Field

from examples.team.budgets import Shares
from examples.team.rounds import Journal, KnownState, RoundsAgent, side_by_side
from extensions.planned_agent import steps
from extensions.planned_agent.document_steps import REWRITES
from extensions.planned_agent.document_steps import Work as Step
from extensions.planned_agent.follow_ups import stands_alone
from extensions.planned_agent.plan import PlanStep
from extensions.planned_agent.run import PlannedRun
from extensions.planned_agent.steps import run_step
from foundation import names
from foundation.tracing import span
from orchestration.contract import AgentParts
from orchestration.events import Step as Told
from orchestration.requests import Noun

__all__ = ["Message", "Options", "TeamAgent", "build", "picture"]

Role = Literal["supervisor", "researcher", "analyst", "writer", "checker"]
Task = Literal["find", "find more", "call", "write", "quote", "check", "report"]


class Options(steps.Options):
    share: float = Field(default=0.6, gt=0, le=1)
    """Maximum share of a run's steps, tokens and money for one specialist."""


HAND_OFFS: dict[tuple[Role, Task], Role] = {
    ("supervisor", "find"): "researcher",
    ("supervisor", "call"): "analyst",
    ("researcher", "write"): "writer",
    ("writer", "check"): "checker",
    ("checker", "quote"): "writer",
    ("checker", "find more"): "researcher",
    ("researcher", "report"): "supervisor",
    ("checker", "report"): "supervisor",
    ("analyst", "report"): "supervisor",
}
"""Who may request which task, and who does it. There is no other path between the specialists."""


KEPT = ("query", "extra_queries", "last_search_step", "rewrites", "confidence", "gate", "document_answer")
"""State of a question that is stored. Passages are retrieved again, as in every agent."""


class Message(Noun):
    """A hand-off: the sender, the task, and the step of the plan."""

    sender: Role
    task: Task
    step_id: str

    @property
    def to(self) -> Role:
        return HAND_OFFS[self.sender, self.task]


@dataclass
class Desk:
    """One question of the request while the specialists process it. Its state is stored after each step, so that an
    interrupted run continues from there.
    """

    state: KnownState
    run: PlannedRun
    journal: Journal
    message: Message

    async def take(self, name: str, step: Step) -> None:
        news = await run_step(name, step, self.state, self.run)
        await self.note(cast("KnownState", {**news, "last_search_step": name}))

    async def hand_on(self, message: Message) -> None:
        self.message = message
        await self.note({})

    async def note(self, news: KnownState) -> None:
        self.state = cast("KnownState", {**self.state, **news})
        search_state = {key: self.state[key] for key in KEPT}  # type: ignore[literal-required]
        desk = {"message": self.message.model_dump(mode="json"), "known": search_state}
        desks = {**(self.journal.state.get("team_desks") or {}), self.message.step_id: desk}
        await self.journal.write(cast("KnownState", {"team_desks": desks, "steps": self.state["steps"]}))


class TeamAgent(RoundsAgent):
    """An agent whose rounds are done by specialists."""

    name = "team"

    def __init__(self, options: Options, parts: AgentParts) -> None:
        super().__init__(options, parts)
        self._shares = Shares(options.share)
        self._crew: dict[Role, Callable[[Desk], Awaitable[Message]]] = {
            "researcher": self._research,
            "writer": self._write,
            "checker": self._check,
        }

    async def _calls(self, journal: Journal, name: str, step: Step, run: PlannedRun, extra: KnownState) -> None:
        state = cast("KnownState", {**journal.state, **extra})
        message = Message(sender="supervisor", task="call", step_id=state.get("step") or state["waiting"])
        with self._shares.branch(run, message.to) as branch, self._at_work(message, branch):
            await journal.take(name, step, branch, extra)

    async def _from_documents(self, journal: Journal, run: PlannedRun) -> None:
        if self._steps.recalls(journal.state) and not journal.state.get("last_search_step"):
            await journal.take("recall", self._steps.recall, run, ends={"last_search_step": "recall"})
        if not journal.state["document_answer"]:
            steps = [
                step for step in journal.state["plan"]["steps"] if step["step_id"] in journal.state["open_questions"]
            ]
            await side_by_side([self._question(PlanStep(**step), journal, run) for step in steps])

    async def _question(self, step: PlanStep, journal: Journal, run: PlannedRun) -> None:
        """Pass the question from specialist to specialist until it returns to the supervisor."""
        question = step.ask if stands_alone(step.ask) else journal.state["question"]
        query = self._steps.in_context(question, journal.state)
        extra_queries = [question] if query != question else []
        own: KnownState = {"query": query, "extra_queries": extra_queries, "last_search_step": "recall"}
        own |= {"question": question, "document_question": question}
        saved = (journal.state.get("team_desks") or {}).get(step.step_id)
        message = (
            Message(**saved["message"]) if saved else Message(sender="supervisor", task="find", step_id=step.step_id)
        )
        state = cast("KnownState", {**journal.state, **own, **(saved["known"] if saved else {})})
        with self._shares.branch(run, "researcher") as branch:
            desk = Desk(state, branch, journal, message)
            try:
                while desk.message.to != "supervisor":
                    branch.budget = self._shares.budget(run, desk.message.to)
                    with self._at_work(desk.message, branch):
                        await desk.hand_on(await self._crew[desk.message.to](desk))
            finally:
                run.evidence, run.question = branch.evidence, query  # material for an answer if the budget runs out
        part = desk.state["document_answer"]
        assert part is not None  # nobody reports without one
        closed: KnownState = {
            "open_questions": [step_id for step_id in journal.state["open_questions"] if step_id != step.step_id],
            "team_desks": {
                step_id: saved for step_id, saved in journal.state["team_desks"].items() if step_id != step.step_id
            },
        }
        await journal.write({"done": {step.step_id: {"result": part, "outcome": None}}, **closed})

    def _at_work(self, message: Message, run: PlannedRun) -> AbstractContextManager[object]:
        detail = f"{message.sender} to {message.to}, step {message.step_id}: {message.task}"
        run.report(Told(name="hand_off", detail=detail))
        attributes = {names.AGENT_NAME: message.to, names.STEP: message.task}
        return span(names.INVOKE_AGENT, message.to, layer="orchestration", attributes=attributes)

    async def _research(self, desk: Desk) -> Message:
        do = self._steps
        if desk.message.task == "find more" and desk.state["last_search_step"] == "verify":
            await desk.take("rewrite", do.rewrite)
        while not desk.state["document_answer"]:
            name, step = self._search(desk.state)
            if name == "compose":
                return _hand_on(desk.message, "write")
            await desk.take(name, step)
        return _hand_on(desk.message, "report")

    def _search(self, state: KnownState) -> tuple[str, Step]:
        """Return the next step of the search, by the last one that has ended."""
        do = self._steps
        following: dict[str, tuple[str, Step]] = {
            "recall": ("retrieve", do.retrieve),
            "retrieve": ("grade", do.grade),
            "grade": ("rewrite", do.rewrite) if do.thin(state) else ("compose", do.compose),
            "rewrite": ("retrieve", do.retrieve),
        }
        return following[state["last_search_step"]]

    async def _write(self, desk: Desk) -> Message:
        if desk.state["last_search_step"] != "compose":
            await desk.take("compose", self._steps.compose)
        return _hand_on(desk.message, "check")

    async def _check(self, desk: Desk) -> Message:
        if desk.state["last_search_step"] != "verify":
            await desk.take("verify", self._steps.verify)
        part = desk.state["document_answer"]
        if part is None:
            return _hand_on(desk.message, "quote")
        if part["status"] != "answered" and desk.state["rewrites"] < REWRITES:
            desk.state["document_answer"], desk.run.evidence = None, None
            return _hand_on(desk.message, "find more")
        return _hand_on(desk.message, "report")


def build(options: Options, context: AgentParts) -> TeamAgent:
    return TeamAgent(options, context)


def picture() -> str:
    """Return the hand-offs as mermaid text."""
    lines = [f"\t{sender} -- {task} --> {to};" for (sender, task), to in HAND_OFFS.items()]
    return "\n".join(["graph LR;", *lines, ""])


def _hand_on(message: Message, task: Task) -> Message:
    return Message(sender=message.to, task=task, step_id=message.step_id)

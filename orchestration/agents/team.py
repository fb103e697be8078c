"""A team: a supervisor plans and gathers, four specialists do the work and hand it on by typed messages (`HAND_OFFS`).

Each question of a request is worked on by itself, side by side with the others. A specialist has its own tools (search,
the executor's tools, the language model, the judge of grounding), a budget of its own inside that of the run, and a span
for each piece of work. What they do are the steps of every agent here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, cast

from pydantic import Field

from foundation import names
from foundation.tracing import span
from orchestration import durable
from orchestration.contract import AgentParts, Noun, PlanStep
from orchestration.contract import Step as Told
from orchestration.durable import report, taken
from orchestration.history import stands_alone
from orchestration.rounds import Journal, RoundsAgent, side_by_side
from orchestration.run import Run
from orchestration.state import State
from orchestration.steps import Work as Step

__all__ = ["Message", "Options", "TeamAgent", "build", "picture"]

Role = Literal["supervisor", "researcher", "analyst", "writer", "checker"]
Task = Literal["find", "find more", "call", "write", "quote", "check", "report"]


class Options(durable.Options):
    share: float = Field(default=0.6, gt=0, le=1)
    """No specialist may use up more than this share of a run's steps, tokens and money."""


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
"""Who may ask for what, and who does it. There is no other way from one to another."""


class Message(Noun):
    """A hand-off: who asks for what, about which step of the plan."""

    sender: Role
    task: Task
    step_id: str

    @property
    def to(self) -> Role:
        return HAND_OFFS[self.sender, self.task]


@dataclass
class Desk:
    """One question of the request while the specialists work at it."""

    state: State
    run: Run

    async def take(self, name: str, step: Step) -> None:
        self.state = cast("State", {**self.state, **await taken(name, step, self.state, self.run)})


class TeamAgent(RoundsAgent):
    """Rounds that are worked by specialists."""

    name = "team"

    def __init__(self, options: Options, parts: AgentParts) -> None:
        super().__init__(options, parts)
        self._share = options.share
        self._crew: dict[Role, Callable[[Message, Desk], Awaitable[Message]]] = {
            "researcher": self._research,
            "writer": self._write,
            "checker": self._check,
        }

    async def _calls(self, journal: Journal, name: str, step: Step, run: Run, given: State) -> None:
        state = cast("State", {**journal.state, **given})
        message = Message(sender="supervisor", task="call", step_id=state.get("step") or state["waiting"])
        branch = run.branch(message.to, self._share)
        try:
            with self._at_work(message, state, branch):
                await journal.take(name, step, branch, given)
        finally:
            run.join(branch)

    async def _from_documents(self, journal: Journal, run: Run) -> None:
        if self._steps.recalls(journal.state):
            await journal.take("recall", self._steps.recall, run)
        if not journal.state["part"]:
            asked = [one for one in journal.state["plan"]["steps"] if one["step_id"] in journal.state["asking"]]
            await side_by_side([self._question(PlanStep(**one), journal, run) for one in asked])

    async def _question(self, step: PlanStep, journal: Journal, run: Run) -> None:
        """Hand it on until it comes back to the supervisor."""
        asked = step.ask if stands_alone(step.ask) else journal.state["question"]
        query = self._steps.in_context(asked, journal.state)
        own: State = {"question": asked, "query": query, "legs": [asked] if query != asked else []}
        state = cast("State", {**journal.state, **own})
        desk = Desk(state, run.branch("researcher", self._share))
        message = Message(sender="supervisor", task="find", step_id=step.step_id)
        try:
            while message.to != "supervisor":
                desk.run.budget = run.branch(message.to, self._share).budget
                with self._at_work(message, desk.state, desk.run):
                    message = await self._crew[message.to](message, desk)
        finally:
            run.join(desk.run)
            run.evidence, run.question = desk.run.evidence, query  # what a used-up budget leaves to be answered from
        left = [one for one in journal.state["asking"] if one != step.step_id]
        part = desk.state["part"]
        assert part is not None  # nobody else reports
        await journal.write({"done": {step.step_id: {"result": part, "outcome": None}}, "asking": left})

    def _at_work(self, message: Message, state: State, run: Run) -> AbstractContextManager[object]:
        detail = f"{message.sender} to {message.to}, step {message.step_id}: {message.task}"
        report(Told(name="hand_off", detail=detail), state, run)
        attributes = {names.AGENT_NAME: message.to, names.STEP: message.task}
        return span(names.INVOKE_AGENT, message.to, layer="orchestration", attributes=attributes)

    async def _research(self, message: Message, desk: Desk) -> Message:
        do = self._steps
        if message.task == "find more":
            await desk.take("rewrite", do.rewrite)
        while True:
            await desk.take("retrieve", do.retrieve)
            if not desk.state["part"]:
                await desk.take("grade", do.grade)
            if desk.state["part"] or not do.thin(desk.state):
                break
            await desk.take("rewrite", do.rewrite)
        return _on(message, "report" if desk.state["part"] else "write")

    async def _write(self, message: Message, desk: Desk) -> Message:
        await desk.take("compose", self._steps.compose)
        return _on(message, "check")

    async def _check(self, message: Message, desk: Desk) -> Message:
        await desk.take("verify", self._steps.verify)
        part = desk.state["part"]
        if part is None:
            return _on(message, "quote")
        if part["status"] != "answered" and desk.state["rewrites"] < self._settings.rewrites:
            desk.state["part"], desk.run.evidence = None, None
            return _on(message, "find more")
        return _on(message, "report")


def build(options: Options, context: AgentParts) -> TeamAgent:
    return TeamAgent(options, context)


def picture() -> str:
    """Who hands what to whom, as mermaid text."""
    lines = [f"\t{sender} -- {task} --> {to};" for (sender, task), to in HAND_OFFS.items()]
    return "\n".join(["graph LR;", *lines, ""])


def _on(message: Message, task: Task) -> Message:
    return Message(sender=message.to, task=task, step_id=message.step_id)

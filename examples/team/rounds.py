"""An agent that works in rounds, in plain Python: all open work in parallel, then its results.

    plan, and then until there is a result:
        the tools and the search of this round, in parallel
        gather: their results; the next round, a final result, or a wait for approval

The state (`KnownState`) is stored after each step and determines the next one: a step of the plan that was begun and has
no outcome is open. No position in a program is stored, and a run that was killed continues by entering the loop
again. Subclasses define how documents are searched.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Coroutine
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint

from extensions.planned_agent.document_steps import Work as Step
from extensions.planned_agent.plans import PlannedState, merge_done
from extensions.planned_agent.run import PlannedRun
from extensions.planned_agent.steps import PlannedAgent, close_turn, run_step
from orchestration.flow.base_agent import Begin, config_of
from orchestration.run.run import Run
from orchestration.run.state import State, StoredThread, longer

Work = Coroutine[Any, Any, None]


class KnownState(PlannedState, total=False):
    """The state, with the position in a search."""

    last_search_step: str
    """The last finished step of a search, after which the run continues."""
    team_desks: dict[str, dict[str, Any]]
    """Parallel searches by step of the plan: the state of each, and who works on it."""


FORMER_NAMES = {
    "asking": "open_questions", "part": "document_answer", "legs": "extra_queries",
    "reached": "last_search_step", "desks": "team_desks",
}  # fmt: skip
"""Names in the checkpoints of an earlier release, and the present ones."""


_UNSEARCHED: KnownState = {"last_search_step": "", "team_desks": {}}
"""State of a search that has not begun."""


def _status_of(state: State) -> str:
    result = state.get("result")
    return result["status"] if result else ""


class RoundsAgent(PlannedAgent):
    """An agent whose conversation is a sequence of checkpoints, each with the whole state."""

    async def _load_thread(self, thread_id: str) -> StoredThread:
        stored = await self._parts.checkpoints.aget_tuple(config_of(thread_id))
        if stored is None:
            return StoredThread({})
        state = cast("PlannedState", stored.checkpoint["channel_values"])
        waits, waits_for = _status_of(state) == "waiting", frozenset(filter(None, [state.get("approval_id")]))
        return StoredThread(state, waits, waits_for, unfinished=waits or not _status_of(state))

    async def _take_steps(self, begin: Begin, state: State, run: Run, config: RunnableConfig) -> State:
        run, journal = cast("PlannedRun", run), Journal(self._parts.checkpoints, config)
        await journal.open(cast("KnownState", state) if begin == "new" else {})
        if begin == "decided":
            await journal.write({"result": None})
        if not journal.state["plan"]:
            await journal.take("plan", self._steps.plan, run, ends=_UNSEARCHED)
        while not journal.state["result"]:
            await side_by_side(self._round(journal, run))
            news = await self._steps.gather(journal.state, run)
            await journal.write(cast("KnownState", {**news, **(_UNSEARCHED if news.get("open_questions") else {})}))
        return journal.state

    def _round(self, journal: Journal, run: PlannedRun) -> list[Work]:
        """Return the open work of this round."""
        state = journal.state
        begun_elsewhere = {*state["done"], *state["open_questions"]}
        open_calls = [step_id for step_id in state["started"] if step_id not in begun_elsewhere]
        work = [self._calls(journal, "tool", self._steps.tool, run, {"step": step_id}) for step_id in open_calls]
        waited = [step["step_id"] for step in state["plan"]["steps"] if step["outcome"] == "waiting"]
        if state["waiting"] in waited:  # a person has decided, or there would be no round
            work.append(self._calls(journal, "effect", self._steps.effect, run, {}))
        if state["open_questions"] and not state["document_answer"]:
            work.append(self._from_documents(journal, run))
        return work

    @abstractmethod
    async def _from_documents(self, journal: Journal, run: PlannedRun) -> None:
        """Answer the questions in `open_questions`: all with one `document_answer`, or each with an outcome in `done`."""

    async def _calls(self, journal: Journal, name: str, step: Step, run: PlannedRun, extra: KnownState) -> None:
        await journal.take(name, step, run, extra)


async def side_by_side(work: list[Work]) -> None:
    """Run all work in parallel. If one fails, the others are cancelled, and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in work:
                group.create_task(coroutine)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


class Journal:
    """The state of a conversation, and its checkpoints."""

    def __init__(self, checkpoints: BaseCheckpointSaver[Any], config: RunnableConfig) -> None:
        self.state: KnownState = {}
        self._checkpoints, self._config = checkpoints, config
        self._marks, self._step, self._version = config["metadata"], -1, checkpoints.get_next_version(None, None)
        self._writing = asyncio.Lock()

    async def open(self, news: KnownState) -> None:
        stored = await self._checkpoints.aget_tuple(self._config)
        if stored is not None:
            self.state = cast("KnownState", with_present_names(stored.checkpoint["channel_values"]))
            self._config, self._step = stored.config, stored.metadata["step"] + 1
            newest = max(stored.checkpoint["channel_versions"].values())
            self._version = self._checkpoints.get_next_version(newest, None)
        if news:
            await self.write(news)

    async def take(
        self, name: str, step: Step, run: PlannedRun, given: KnownState | None = None, ends: KnownState | None = None
    ) -> None:
        """Run a step on the state with `given`, and store its news and `ends` together."""
        news = await run_step(name, step, cast("KnownState", {**self.state, **(given or {})}), run)
        await self.write(cast("KnownState", {**news, **(ends or {})}))

    async def write(self, news: KnownState) -> None:
        """Store news; durable when this returns. A run's final answer is stored together with the turn that it ends."""
        self.state = merge_state(self.state, news)
        if _status_of(self.state) not in ("", "waiting"):
            self.state = merge_state(self.state, close_turn(self.state))
        async with self._writing:
            checkpoint = empty_checkpoint()
            checkpoint["channel_values"] = dict(self.state)
            checkpoint["channel_versions"] = dict.fromkeys(self.state, self._version)
            self._config = await self._checkpoints.aput(
                {**self._config, "metadata": self._marks},
                checkpoint,
                {"source": "loop", "step": self._step},
                checkpoint["channel_versions"],
            )
            self._step, self._version = self._step + 1, self._checkpoints.get_next_version(self._version, None)


def with_present_names(stored: dict[str, Any]) -> dict[str, Any]:
    """Return a stored state, and those of its searches, under the names that they have today."""
    state = {FORMER_NAMES.get(name, name): value for name, value in stored.items()}
    desks = (state.get("team_desks") or {}).items()
    return {**state, "team_desks": {step: {**desk, "known": with_present_names(desk["known"])} for step, desk in desks}}


def merge_state(state: KnownState, news: PlannedState) -> KnownState:
    """Return the state after a step: the old state with the step's news."""
    done = merge_done(state.get("done") or {}, news["done"]) if "done" in news else state.get("done")
    steps = longer(state.get("steps") or [], news.get("steps", state.get("steps") or []))
    return cast("KnownState", {**state, **news, "done": done, "steps": steps})

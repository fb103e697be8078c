"""One run of an agent: who asks what, what was read for it, what it cost, and the events that tell of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal, ParamSpec, Self, TypeVar, cast

from foundation.machine.deadline import in_thread_within
from foundation.machine.threads import let_threads_wait
from foundation.types import Principal, Scope
from orchestration.actions import Approval
from orchestration.contract import AgentParts
from orchestration.events import DraftOutcome, Event, NearDocument, Step
from orchestration.prompts.files import Prompt
from orchestration.requests import AnswerRequest
from orchestration.run.bill import Bill
from orchestration.run.budget import Budget
from orchestration.run.state import Result, State, abstain, day_of
from retrieval.documents import Hit

# The current run; `None` outside of one
run_at_work: ContextVar[Run | None] = ContextVar("run", default=None)
P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Watch:
    """Detail and outcome of a running step, to be reported at its end."""

    detail: str = ""
    outcome: Literal["done", "failed", "skipped", "waiting"] = "failed"


@dataclass
class Passages:
    """The passages that the chat model has read, by their ids."""

    hits: dict[str, Hit] = field(default_factory=dict)
    """Those that the caller may read now."""
    numbers: dict[str, int] = field(default_factory=dict)
    """The number under which each was shown to the model."""
    days: dict[str, date] = field(default_factory=dict)
    """The day that the model stated in the search for one; absent: the run's own."""

    def by_number(self) -> dict[int, Hit]:
        return {number: self.hits[chunk_id] for chunk_id, number in self.numbers.items() if chunk_id in self.hits}

    def stated_day(self, citations: Iterable[Mapping[str, Any]]) -> date | None:
        """Return the day that the model stated where it searched for all that is cited; `None`: not one day."""
        days = {self.days.get(cited["chunk_id"]) for cited in citations}
        return days.pop() if len(days) == 1 else None


@dataclass
class Notes:
    """What the answer will say of how it was made."""

    steps: list[Step] = field(default_factory=list)
    degraded: list[str] = field(default_factory=list)
    """What was worse than configured, each once."""
    cost: list[str] = field(default_factory=list)
    """Why calls of the chat model have no cost."""
    drafts: list[DraftOutcome] = field(default_factory=list)
    prompts: dict[str, str] = field(default_factory=dict)
    """Labels (version and digest) of the prompts that were used, by name."""


@dataclass(kw_only=True, eq=False)
class Run:
    """The state of one call of `stream` or `resume`, which is not stored. A run that continues in another process reads its
    documents again, with the rights that the caller then has.
    """

    parts: AgentParts
    principal: Principal
    answer_id: str
    budget: Budget
    emit: Callable[[Event], None]
    state: State = field(default_factory=lambda: cast("State", {}))
    """The stored state when the run began: the conversation, and the day that is asked about."""
    request: AnswerRequest | None = None
    """The request; `None` where a run goes on after a decision."""
    passages: Passages = field(default_factory=Passages)
    notes: Notes = field(default_factory=Notes)
    bill: Bill = field(init=False)
    waiting: dict[str, Approval] = field(default_factory=dict)
    """The approvals that tool calls waited for when the run was resumed, by the id of the call."""
    taken_back: tuple[str, ...] = ()
    """The runs that were taken back from the conversation, as in `Origin`."""

    def __post_init__(self) -> None:
        self.bill = Bill(self)

    @contextmanager
    def aside(self, budget: Budget | None = None, *, silent: bool = False, **changes: Any) -> Iterator[Self]:
        """Yield a copy of this run for a part of its work, with a bill that is added to this one's at the end.

        `silent`: none of the words is part of the answer, so that no first word is timed.
        """
        aside = replace(self, budget=budget or self.budget, **changes)
        aside.bill = self.bill.aside(aside)
        try:
            yield aside
        finally:
            self.bill.add(aside.bill, silent=silent)

    @property
    def scope(self) -> Scope:
        """The documents that the caller may read now."""
        return self.parts.executor.policy.scope(self.principal)

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in a thread, for at most the seconds that are left. Raises BudgetExceeded: they ran out."""
        return await in_thread_within(self.budget.remaining_s(), work, *args, **kwargs)

    async def search(self, query: str, *, as_of: date | None = None) -> list[Hit]:
        """Search the documents that the caller may read, as of the day that the person asked about, else of `as_of`."""
        search, answers = self.parts.retriever.retrieve, self.parts.settings.answers
        limit, passages, day = answers.evidence_documents, answers.passages_per_document, day_of(self.state) or as_of
        return await self.in_thread(search, query, self.scope, limit=limit, per_document=passages, as_of=day)

    def prompt(self, name: str) -> Prompt:
        """Return the tenant's version of a prompt, and note its label for the trace."""
        prompt = self.parts.prompts.of(self.principal.tenant)[name]
        self.notes.prompts[name] = prompt.label
        return prompt

    def nothing_found(self, nearest: Sequence[NearDocument] = ()) -> Result:
        return {**abstain(self.prompt("nothing_found").text, nearest), "band": "not_found"}

    def note(self, what: str) -> None:
        """Note, once, what is worse than configured."""
        if what not in self.notes.degraded:
            self.notes.degraded.append(what)

    def tell(self, kind: Any, **content: Any) -> None:
        self.emit(Event(kind=kind, thread_id=self.state.get("thread_id"), **content))

    def report(self, step: Step) -> None:
        self.notes.steps.append(step)
        self.tell("step", step=step)

    @contextmanager
    def watch(self, name: str) -> Iterator[Watch]:
        """Time the step inside and report it when it ends; it has failed unless the block says otherwise."""
        watch, begun_s = Watch(), time.perf_counter()
        try:
            yield watch
        finally:
            ms = (time.perf_counter() - begun_s) * 1000
            self.report(Step(name=name, detail=watch.detail, outcome=watch.outcome, ms=ms))


@contextmanager
def running(run: Run) -> Iterator[None]:
    """Make `run` the current run of all code inside."""
    with suppress(RuntimeError):
        run.bill.loop = asyncio.get_running_loop()
        let_threads_wait(run.bill.loop)
    token = run_at_work.set(run)
    try:
        yield
    finally:
        run_at_work.reset(token)


def current_run() -> Run:
    """Return the current run. Raises RuntimeError: there is none, as outside an agent."""
    run = run_at_work.get()
    if run is None:
        raise RuntimeError("No run is at work here. Call this inside `with running(run):`, as the agents do.")
    return run

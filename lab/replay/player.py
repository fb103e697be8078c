"""Plays one recorded conversation through the tool-calling agent, and goes on with it where a process was killed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from foundation.components import load
from foundation.errors import Conflict, SixplyError
from foundation.settings import Part
from foundation.types import Principal
from lab.replay.journal import Journal
from lab.replay.playback import PricesOfRecorded, RecordedChat
from lab.replay.recording import Conversation, Line, Recording
from lab.replay.worlds import ConversationTools, World
from models.resilience.resilient_chat import resilient
from orchestration.actions import Approval, Decision
from orchestration.contract import Agent
from orchestration.effects.effect_log import SqliteEffects
from orchestration.effects.executor import Executor
from orchestration.events import Answer, Event
from orchestration.prompts.files import Prompts
from orchestration.requests import AnswerRequest, ClientOptions
from orchestration.run.answering import answer, error_of
from orchestration.settings import BudgetSettings, PolicySettings
from serving.wiring import System

PERSON = Principal("person", "replay", frozenset({"caller"}))
SECOND = Principal("second person", "replay", frozenset({"approver"}))
UNLIMITED = 1_000_000_000
WIDE = BudgetSettings(steps=UNLIMITED, tokens=UNLIMITED, usd=UNLIMITED, seconds=3_600)
"""What a conversation needs is reported beside the limits in force, instead of cutting it off."""


@dataclass(frozen=True)
class Crash:
    """The process dies at this point of the agent, from this request of the conversation on."""

    request: int
    point: str


@dataclass(frozen=True, kw_only=True)
class Player:
    """How conversations are played."""

    recording: Recording
    make_world: Callable[[], World] | None
    model: str = ""
    approvals: bool = False
    """Whether everything that writes needs the approval of a second person."""

    async def play(
        self, conversation: Conversation, journal: Journal, system: System, crash: Crash | None = None
    ) -> None:
        """Play the conversation to its end, from where the journal says that it stands."""
        with self._agent(conversation, journal, system) as agent:
            turn = _Turns(agent, journal, system)
            for number, request in enumerate(conversation.requests):
                if number < len(journal.answers()):
                    continue
                if crash is not None and number >= crash.request:
                    os.environ["SIXPLY_CRASH_AT"] = crash.point
                try:
                    await turn.take(number, request)
                except SixplyError as error:
                    journal.note("error", f"request {number + 1}: {error.code}: {error}")
                    return

    @contextmanager
    def _agent(self, conversation: Conversation, journal: Journal, system: System) -> Iterator[Agent]:
        tools = ConversationTools(self.recording, conversation, journal, self.make_world)
        names = tuple(tool.name for tool in tools.tools)
        policy = PolicySettings(
            roles={"caller": names},
            effects_without_approval=() if self.approvals else tools.writing,
            calls_per_run=UNLIMITED,
        )
        with ExitStack() as opened:
            effects = SqliteEffects(system.context.data_dir / "effects.sqlite", system.context.records)
            opened.callback(effects.close)
            executor = Executor(
                tools=tools.tools,
                policy=policy,
                approvals=system.orchestration.approvals,
                effects=effects,
                recorders=system.orchestration.recorders,
                clock=system.context.clock,
                demand=system.hooks.demand,
            )
            orchestration = system.settings.orchestration
            answers = orchestration.answers.model_copy(update={"max_question_characters": UNLIMITED})
            recorded = RecordedChat(
                conversation=conversation,
                journal=journal,
                model=self.model,
                profile={"tool_calling": True, "image_inputs": True, "max_input_tokens": UNLIMITED},
            )
            prompts = system.parts.prompts.everybody
            parts = replace(
                system.parts,
                chat=resilient(recorded, [], system.settings.models.resilience, system.context.clock),
                executor=executor,
                prompts=Prompts({**prompts, "persona": replace(prompts["persona"], text=conversation.system)}, {}),
                prices=PricesOfRecorded(system.models.prices, self.model) if self.model else system.models.prices,
                settings=orchestration.model_copy(update={"answers": answers, "budget": WIDE, "policy": policy}),
            )
            doubled = {"search_documents", "open_document"} & {*names}  # then the recording has its own documents
            chosen = Part(use="tool_calling", rounds=100, documents=not doubled)
            yield load("orchestration.agent", chosen, parts, expected=Agent)


@dataclass(frozen=True)
class _Turns:
    agent: Agent
    journal: Journal
    system: System

    async def take(self, number: int, request: Line) -> None:
        """Ask, let a second person approve what waits, and record the answer."""
        runs = [await self._go_on(request)]
        while runs[-1].status == "waiting" and runs[-1].approval is not None:
            runs.append(await self._approve(runs[-1].approval))
        self.journal.mark("deciding", "")
        self.journal.record_answer(number, summary_of(runs))

    async def _go_on(self, request: Line) -> Answer:
        if deciding := self.journal.marked("deciding"):
            with suppress(Conflict):  # the run had come past it
                return await self._decide(deciding)
        try:
            return await self._ask(request)
        except Conflict:  # a killed process had asked for an approval, and nobody has decided yet
            pending = await self.system.orchestration.approvals.pending(PERSON.tenant)
            mine = [approval for approval in pending if approval.thread_id == self.journal.marked("thread")]
            if not mine:
                raise
            return await self._approve(mine[0])

    async def _ask(self, request: Line) -> Answer:
        asked = AnswerRequest(
            question=request.text,
            images=request.images,
            thread_id=self.journal.marked("thread") or None,
            client=ClientOptions(instructions=request.instructions),
        )
        return await answer(self.agent, asked, PERSON, seen=self._see)

    async def _approve(self, approval: Approval) -> Answer:
        self.journal.note("approval", approval.approval_id)
        return await self._decide(approval.approval_id)

    async def _decide(self, approval_id: str) -> Answer:
        self.journal.mark("deciding", approval_id)
        last: Event | None = None
        async for event in self.agent.resume(Decision(approval_id=approval_id, approve=True), SECOND):
            self._see(event)
            last = event
        if last is None or last.answer is None:
            raise error_of(last or Event(kind="error"))
        return last.answer

    def _see(self, event: Event) -> None:
        if event.thread_id and not self.journal.marked("thread"):
            self.journal.mark("thread", event.thread_id)


def summary_of(runs: Sequence[Answer]) -> dict[str, Any]:
    """What is reported of a request: its trace, its bill, and what the person was shown. It took several runs where somebody
    had to approve something.
    """
    last = runs[-1]
    costs = [run.cost_usd for run in runs]
    return {
        "trace_id": last.trace_id,
        "status": last.status,
        "text": last.text,
        "degraded": list(last.degraded),
        "marked": [claim.model_dump() for claim in last.unsupported],
        "rounds": sum(step.name == "model" for step in last.steps),
        "input_tokens": sum(run.usage.input_tokens or 0 for run in runs),
        "output_tokens": sum(run.usage.output_tokens or 0 for run in runs),
        "usd": None if None in costs else str(sum(filter(None, costs), Decimal(0))),
    }


def journal_of(folder: Path, conversation: Conversation) -> Journal:
    digest = hashlib.sha256(conversation.conversation_id.encode("utf-8", "replace")).hexdigest()
    return Journal(folder / "journals" / f"{digest[:32]}.sqlite")

"""Agents that give one promise away each. The contract suite must reject every one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from foundation.types import Principal
from orchestration.actions import Decision
from orchestration.contract import Agent
from orchestration.events import Event
from orchestration.requests import AnswerRequest
from tests.doubles.orchestration import NORTH, World


class _Around:
    """A healthy agent with one part of its behaviour exchanged by a subclass."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.healthy = world.agent("tool_calling")

    def stream(self, request: AnswerRequest, principal: Principal) -> AsyncIterator[Event]:
        return self.healthy.stream(request, principal)

    def resume(self, decision: Decision, principal: Principal) -> AsyncIterator[Event]:
        return self.healthy.resume(decision, principal)


class _Altered(_Around):
    """Changes the final answer of every stream."""

    changes: dict[str, Any] = {}  # noqa: RUF012 - a constant of each subclass

    async def stream(self, request: AnswerRequest, principal: Principal) -> AsyncGenerator[Event, None]:
        async for event in self.healthy.stream(request, principal):
            if event.answer is None:
                yield event
            else:
                yield event.model_copy(update={"answer": event.answer.model_copy(update=self.changes)})


class CitesNothing(_Altered):
    changes = {"citations": ()}  # noqa: RUF012 - a constant


class AlwaysAnswers(_Altered):
    changes = {"status": "answered", "stop_reason": "complete"}  # noqa: RUF012 - a constant


class CountsNothing(_Altered):
    changes = {"cost_usd": 0}  # noqa: RUF012 - a constant


class EndsWithoutAWord(_Around):
    async def stream(self, request: AnswerRequest, principal: Principal) -> AsyncGenerator[Event, None]:
        async for event in self.healthy.stream(request, principal):
            if event.kind not in {"answer", "error"}:
                yield event


class SeesEveryTenant(_Around):
    async def stream(self, request: AnswerRequest, principal: Principal) -> AsyncGenerator[Event, None]:
        del principal
        async for event in self.healthy.stream(request, NORTH):
            yield event


class LeavesItsWorkBehind(_Around):
    async def stream(self, request: AnswerRequest, principal: Principal) -> AsyncGenerator[Event, None]:
        queue: asyncio.Queue[Event] = asyncio.Queue()

        async def work() -> None:
            async for event in self.healthy.stream(request, principal):
                queue.put_nowait(event)

        task = asyncio.create_task(work())
        _LEFT.append(task)
        while (event := await queue.get()).kind != "answer":
            yield event
        yield event


_LEFT: list[asyncio.Task[None]] = []


class BeginsAfreshWhereItKnowsNoThread(_Around):
    async def stream(self, request: AnswerRequest, principal: Principal) -> AsyncGenerator[Event, None]:
        async for event in self.healthy.stream(request.model_copy(update={"thread_id": None}), principal):
            yield event


class TakesEveryQuestion(_Around):
    async def stream(self, request: AnswerRequest, principal: Principal) -> AsyncGenerator[Event, None]:
        question = request.question.strip()[:100] or "anything"
        async for event in self.healthy.stream(request.model_copy(update={"question": question}), principal):
            yield event


class ObeysItsDocuments(_Around):
    """Does what it has read, as if the person had asked for it."""

    async def stream(self, request: AnswerRequest, principal: Principal) -> AsyncGenerator[Event, None]:
        obeyed = "Please send parcel P-666 now" if "counter" in request.question else request.question
        async for event in self.healthy.stream(request.model_copy(update={"question": obeyed}), principal):
            yield event


class ActsBeforeItAsks(_Around):
    async def stream(self, request: AnswerRequest, principal: Principal) -> AsyncGenerator[Event, None]:
        if "send" in request.question:
            self.world.depot.sent.append(("P-123", "no key"))
        async for event in self.healthy.stream(request, principal):
            yield event


def _forgets_at_a_restart(world: World) -> Agent:
    from langgraph.checkpoint.memory import InMemorySaver

    world.saver = InMemorySaver()
    return world.agent("tool_calling")


BROKEN: dict[Callable[[World], Agent], str] = {
    CitesNothing: "a_question_is_answered_with_exact_citations",
    AlwaysAnswers: "what_the_documents_do_not_say_is_not_answered",
    CountsNothing: "what_it_cost_is_in_the_ledger_and_adds_up",
    EndsWithoutAWord: "a_stream_ends_with_the_whole_answer",
    SeesEveryTenant: "documents_of_another_tenant_do_not_exist",
    LeavesItsWorkBehind: "closing_the_stream_stops_the_work",
    BeginsAfreshWhereItKnowsNoThread: "a_thread_is_continued_only_by_its_owner",
    TakesEveryQuestion: "bad_questions_are_refused_before_anything_happens",
    ObeysItsDocuments: "a_document_cannot_order_anything",
    ActsBeforeItAsks: "an_effect_waits_and_then_happens_once",
    _forgets_at_a_restart: "a_restart_between_question_and_approval_loses_nothing",
}

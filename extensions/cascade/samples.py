"""Two samples of a cheaper model: it is taken at its word where both say the same (Wang et al. 2023, self-consistency)."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import fields
from decimal import Decimal
from functools import partial
from statistics import fmean
from typing import Any, cast

from foundation.components import Context, load
from foundation.errors import Conflict, NotFound, SixplyError
from foundation.settings import Part
from foundation.text.sentences import sentence_spans
from foundation.types import Principal
from models.contract import EntailmentJudge, ScoringParts
from orchestration.contract import Agent, AgentParts
from orchestration.events import Answer, Event
from orchestration.requests import AnswerRequest
from orchestration.run.answering import error_event, stream_from
from orchestration.run.wrapping import AgentWrapper, innermost
from retrieval.grounding.checks import MARKER
from retrieval.grounding.claim_support import support_of

# Why the answer of a cheaper model is not taken; `None`: it is
WhyUp = Callable[[Answer], str | None]
DIFFER = "two samples of it say different things"


class SampledAgent(AgentWrapper):
    """Asks `inner` once more where its answer is in the model's own words, of which nothing says how likely they are right, and
    marks the answer as degraded where the second sample does not say the same.
    """

    def __init__(self, inner: Agent, judge: EntailmentJudge, agree_from: float, why_up: WhyUp) -> None:
        super().__init__(inner)
        self._judge, self._agree_from, self._why_up = judge, agree_from, why_up

    def stream(self, request: AnswerRequest, principal: Principal) -> AsyncGenerator[Event, None]:
        return stream_from(partial(self._sample, request, principal))

    async def _sample(self, request: AnswerRequest, principal: Principal, emit: Callable[[Event], None]) -> None:
        begun_s = time.perf_counter()
        events = await ask_all(self.inner, request, principal)
        first = events[-1].answer
        if first and first.confidence is None and self._agree_from and self._why_up(first) is None:
            left = None if request.max_usd is None else max(0.0, request.max_usd - float(first.cost_usd or 0))
            last = (await ask_all(self.inner, request.model_copy(update={"max_usd": left}), principal))[-1]
            await delete_conversation(self.inner, last.thread_id, principal)
            agreed = await asyncio.to_thread(self._agree, first, last.answer)
            events = [*events[:-1], _join(events[-1], last.answer, agreed=agreed, begun_s=begun_s)]
        for event in events:
            emit(event)

    def _agree(self, first: Answer, second: Answer | None) -> bool:
        if second is None or self._why_up(second):
            return False
        return agreement(first.text, second.text, self._judge) >= self._agree_from


def agreement(one: str, other: str, judge: EntailmentJudge) -> float:
    """Return how far two texts say the same, from 0 to 1: the support of the sentences of each by the other, the lower of both."""
    first, second = MARKER.sub("", one), MARKER.sub("", other)
    return min(_share_supported(first, second, judge), _share_supported(second, first, judge))


def _share_supported(text: str, by: str, judge: EntailmentJudge) -> float:
    sentences = [text[start:end] for start, end in sentence_spans(text)]
    return fmean(support_of(sentences, [by], judge)) if sentences else 0.0


def open_judge(parts: AgentParts) -> EntailmentJudge:
    """Return the judge of whether two samples say the same, which runs here: one that asks a model would cost what is to be saved."""
    context = {field.name: getattr(parts, field.name) for field in fields(Context)}
    judge: EntailmentJudge = load(
        "models.entailment",
        Part(use="signs"),
        ScoringParts(**context, embedder=parts.embedder),
        expected=EntailmentJudge,
    )
    return judge


async def ask_all(agent: Agent, request: AnswerRequest, principal: Principal) -> Sequence[Event]:
    """Return all events of a run; the last one is an answer or an error, also where the request was refused."""
    try:
        async with aclosing(cast("AsyncGenerator[Event]", agent.stream(request, principal))) as stream:
            return [event async for event in stream]
    except SixplyError as error:
        return [error_event(error)]


async def delete_conversation(agent: Agent, thread_id: str | None, principal: Principal) -> None:
    """Delete the conversation that an answer that is not taken has left."""
    if thread_id:
        with suppress(NotFound, Conflict):
            await cast("Any", innermost(agent, principal)).conversations.delete(thread_id, principal)


def _join(event: Event, second: Answer | None, *, agreed: bool, begun_s: float) -> Event:
    first = cast("Answer", event.answer)
    costs = [first.cost_usd, second.cost_usd if second else Decimal(0)]
    update = {
        "degraded": first.degraded if agreed else (*first.degraded, DIFFER),
        "usage": first.usage + second.usage if second else first.usage,
        "cost_usd": None if None in costs else sum(cost or Decimal(0) for cost in costs),
        "seconds": time.perf_counter() - begun_s,
    }
    return event.model_copy(update={"answer": first.model_copy(update=update)})

"""Collect an agent's stream into its answer, for callers that do not stream."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator

from foundation.errors import ComponentError, SixplyError
from foundation.types import Principal
from orchestration.contract import Agent, Answer, AnswerRequest, Decision, Event

log = logging.getLogger("sixply.orchestration")


async def answer(
    agent: Agent, request: AnswerRequest, principal: Principal, *, seen: Callable[[Event], None] | None = None
) -> Answer:
    """Run one request to its end. `seen` is called with each event as it comes.

    Raises:
        RequestError: it is refused. ComponentError: a part failed on the way; `retryable` says whether to try again.
    """
    return await _last(agent.stream(request, principal), seen)


async def resume(agent: Agent, decision: Decision, principal: Principal) -> Answer:
    """Decide an approval and let the run that waits for it go on. Raises as `Agent.resume` and `answer` do."""
    return await _last(agent.resume(decision, principal))


async def _last(events: AsyncIterator[Event], seen: Callable[[Event], None] | None = None) -> Answer:
    last: Event | None = None
    async for event in events:
        last = event
        if seen is not None:
            seen(event)
    if last is not None and last.answer is not None:
        return last.answer
    raise error_of(last) if last is not None else ComponentError("The agent's stream ended without an answer.")


def error_event(error: SixplyError) -> Event:
    """`error` as the last event of a stream, in the words that callers may read; the log has the operator's."""
    if error.public != str(error):
        log.error("%s: %s", error.code, error)
    return Event(
        kind="error",
        code=error.code,
        message=error.public,
        retryable=error.retryable,
        retry_after_s=error.retry_after_s,
    )


def error_of(event: Event) -> SixplyError:
    """The error behind an `error` event, of the class that bears its code."""
    error_class = next((kind for kind in _kinds(ComponentError) if kind.code == event.code), ComponentError)
    return error_class(event.message or "A part failed without a message.", retry_after_s=event.retry_after_s)


def _kinds(kind: type[SixplyError]) -> Iterator[type[SixplyError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)

"""Following an agent: the last event, the silence, the end."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from foundation.errors import ShuttingDown, UpstreamDown, UpstreamTimeout
from orchestration.events import Event, Step
from orchestration.run.answering import error_event
from serving.http import streams
from serving.http.errors import CallerLeft, InternalError
from serving.http.lifecycle import Lifecycle
from serving.http.streams import collect, explain, follow, unless_left
from tests.doubles.serving import answer

STEP = Event(kind="step", step=Step(name="retrieve"))
ANSWER = Event(kind="answer", answer=answer("q"))


class Recorded:
    """An agent's events, with a record of how the iterator ended."""

    def __init__(self, *items: Event | Exception | None) -> None:
        self.items = items
        self.ended = ""

    async def __call__(self) -> AsyncIterator[Event]:
        try:
            for item in self.items:
                if isinstance(item, Exception):
                    raise item
                if item is None:
                    await asyncio.sleep(60)
                else:
                    yield item
            self.ended = "done"
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise


async def events(agent: Recorded, lifecycle: Lifecycle | None = None) -> list[Event | None]:
    return [event async for event in follow(agent(), lifecycle or Lifecycle())]


async def test_events_come_in_order_and_the_answer_is_the_last() -> None:
    assert await events(Recorded(STEP, ANSWER, STEP)) == [STEP, ANSWER]


@pytest.mark.parametrize(
    ("items", "kind"),
    [
        ((STEP, UpstreamDown("down")), UpstreamDown),
        ((STEP, RuntimeError("defect")), RuntimeError),
        ((STEP, Event(kind="error", code="upstream_timeout", message="late", retryable=True)), UpstreamTimeout),
        ((STEP,), InternalError),
    ],
)
async def test_an_agent_that_ends_without_an_answer_is_an_error(items: tuple, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await events(Recorded(*items))


async def test_a_reported_error_keeps_its_kind_and_how_long_to_wait() -> None:
    reported = Event(kind="error", code="upstream_timeout", message="late", retryable=True, retry_after_s=3)
    with pytest.raises(UpstreamTimeout) as failed:
        await events(Recorded(reported))
    assert (str(failed.value), failed.value.retry_after_s) == ("late", 3)


async def test_closing_the_follower_cancels_the_agent_and_waits_for_it() -> None:
    agent = Recorded(STEP, None)
    following = follow(agent(), Lifecycle())
    assert await anext(following) == STEP
    await asyncio.sleep(0)
    await following.aclose()
    assert agent.ended == "cancelled"


async def test_when_time_is_up_the_follower_ends_with_shutting_down() -> None:
    lifecycle, agent = Lifecycle(), Recorded(STEP, None)
    following = follow(agent(), lifecycle)
    await anext(following)
    lifecycle.end()
    with pytest.raises(ShuttingDown):
        await anext(following)
    await lifecycle.cleaned_up(60)
    assert agent.ended == "cancelled"


async def test_when_time_is_up_the_caller_is_told_before_the_agent_has_cleaned_up() -> None:
    lifecycle, clean = Lifecycle(), asyncio.Event()
    cleaned: list[str] = []

    async def agent() -> AsyncIterator[Event]:
        try:
            yield STEP
            await asyncio.Event().wait()
        finally:
            await clean.wait()
            cleaned.append("cleaned")

    following = follow(agent(), lifecycle)
    await anext(following)
    lifecycle.end()
    with pytest.raises(ShuttingDown):
        await anext(following)
    assert cleaned == []
    clean.set()
    await lifecycle.cleaned_up(60)
    assert cleaned == ["cleaned"]


async def test_an_answer_that_begins_when_time_is_up_ends_with_shutting_down() -> None:
    lifecycle = Lifecycle()
    lifecycle.end()
    with pytest.raises(ShuttingDown):
        await collect(Recorded(None)(), lifecycle)


async def test_a_long_silence_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PING_S", 0.001)
    following = follow(Recorded(None)(), Lifecycle())
    assert await anext(following) is None
    await following.aclose()


async def test_collecting_gives_the_answer() -> None:
    assert await collect(Recorded(STEP, ANSWER)(), Lifecycle()) == ANSWER.answer


def test_a_defect_is_described_in_general_words_only() -> None:
    event = error_event(explain(RuntimeError("secret")))
    assert event.code == "internal"
    assert "secret" not in (event.message or "")


class Left:
    """A request whose caller leaves at once, or never."""

    def __init__(self, *, leaves: bool) -> None:
        self.leaves = leaves

    async def receive(self) -> dict[str, str]:
        if not self.leaves:
            await asyncio.sleep(60)
        return {"type": "http.disconnect"}


async def test_work_is_cancelled_when_its_caller_leaves() -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    with pytest.raises(CallerLeft):
        await unless_left(work(), Lifecycle(), Left(leaves=True))  # type: ignore[arg-type]
    assert ended == [True]


async def test_work_is_cancelled_when_the_servers_time_is_up() -> None:
    lifecycle = Lifecycle()
    asyncio.get_running_loop().call_later(0.01, lifecycle.end)
    with pytest.raises(ShuttingDown):
        await unless_left(asyncio.sleep(60), lifecycle, Left(leaves=False))  # type: ignore[arg-type]


async def test_work_that_ends_gives_its_result_or_its_error() -> None:
    async def fail() -> None:
        raise UpstreamDown("down")

    assert await unless_left(asyncio.sleep(0, "done"), Lifecycle()) == "done"
    with pytest.raises(UpstreamDown):
        await unless_left(fail(), Lifecycle(), Left(leaves=False))  # type: ignore[arg-type]

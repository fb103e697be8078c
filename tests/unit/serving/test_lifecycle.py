"""Stopping: once, with an end for what is still running."""

import pytest

from foundation.errors import ShuttingDown
from serving.http.lifecycle import Lifecycle


async def test_draining_refuses_what_is_new_and_ends_what_is_in_flight() -> None:
    lifecycle, ended = Lifecycle(), []
    lifecycle.refuse_while_draining()
    with lifecycle.in_flight(lambda: ended.append("first")):
        with lifecycle.in_flight(lambda: ended.append("finished before")):
            pass
        lifecycle.drain(60)
        with pytest.raises(ShuttingDown):
            lifecycle.refuse_while_draining()
        assert ended == []
        lifecycle.end()
    assert ended == ["first"]


async def test_what_begins_when_time_is_up_is_ended_at_once() -> None:
    lifecycle, ended = Lifecycle(), []
    lifecycle.end()
    with lifecycle.in_flight(lambda: ended.append("late")):
        assert ended == ["late"]


@pytest.mark.parametrize(("grace_s", "ends_after_s"), [(15, 11), (2, 1), (0.5, 0.25)])
async def test_the_end_comes_before_the_grace_period_is_over(
    grace_s: float, ends_after_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[float] = []

    class Loop:
        def call_later(self, delay_s: float, _: object) -> None:
            planned.append(delay_s)

    monkeypatch.setattr("asyncio.get_running_loop", Loop)
    lifecycle = Lifecycle()
    lifecycle.drain(grace_s)
    lifecycle.drain(grace_s)
    assert planned == [ends_after_s]

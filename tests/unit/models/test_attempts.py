"""The breaker of a model: opens after failures in a row, lets one call try after a while."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from foundation.errors import UpstreamDown
from models.resilience import attempts
from models.resilience.attempts import SAVED_RETRIES, Breaker


class Clock:
    def __init__(self) -> None:
        self.s = 100.0

    def monotonic_s(self) -> float:
        return self.s

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Breaker:
    monkeypatch.setattr(attempts, "BREAKER_FAILURES", 2)
    monkeypatch.setattr(attempts, "RETRY_SHARE", 0.5)
    return Breaker("m", clock)


def _open(breaker: Breaker) -> None:
    for _ in range(2):
        breaker.admit()
        breaker.record(failed=True)


def test_it_opens_after_failures_in_a_row_and_says_how_long_to_wait(breaker: Breaker, clock: Clock) -> None:
    _open(breaker)
    clock.s += 10
    with pytest.raises(UpstreamDown, match="2 times in a row") as caught:
        breaker.admit()
    assert caught.value.retry_after_s == 20


def test_a_success_starts_the_count_again(breaker: Breaker) -> None:
    breaker.record(failed=True)
    breaker.record(failed=False)
    breaker.record(failed=True)
    breaker.admit()
    assert not breaker.is_open


def test_after_a_while_one_call_may_try_and_the_others_wait(breaker: Breaker, clock: Clock) -> None:
    _open(breaker)
    clock.s += 31
    breaker.admit()
    with pytest.raises(UpstreamDown):
        breaker.admit()


def test_a_successful_trial_closes_it(breaker: Breaker, clock: Clock) -> None:
    _open(breaker)
    clock.s += 31
    breaker.admit()
    breaker.record(failed=False)
    breaker.admit()
    breaker.admit()


def test_a_failed_trial_opens_it_again(breaker: Breaker, clock: Clock) -> None:
    _open(breaker)
    clock.s += 31
    breaker.admit()
    breaker.record(failed=True)
    with pytest.raises(UpstreamDown):
        breaker.admit()


def test_a_cancelled_trial_leaves_room_for_the_next(breaker: Breaker, clock: Clock) -> None:
    _open(breaker)
    clock.s += 31
    breaker.admit()
    breaker.record(failed=None)
    breaker.admit()


def test_retries_are_a_share_of_the_calls_once_the_saved_ones_are_spent(breaker: Breaker) -> None:
    saved = 0
    while breaker.spend_retry():
        saved += 1
    assert saved == SAVED_RETRIES
    breaker.admit()
    assert not breaker.spend_retry()
    breaker.admit()
    assert breaker.spend_retry()
    assert not breaker.spend_retry()


def test_no_more_retries_are_saved_up_than_there_were_at_first(breaker: Breaker) -> None:
    for _ in range(100):
        breaker.admit()
    assert sum(breaker.spend_retry() for _ in range(100)) == SAVED_RETRIES


def test_an_open_breaker_has_no_retries(breaker: Breaker) -> None:
    _open(breaker)
    assert not breaker.spend_retry()

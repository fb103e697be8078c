"""Retries of a call, fallbacks in order, and a circuit breaker for each model.

Waits have full jitter: Brooker, "Exponential Backoff And Jitter" (2015). Breakers, and retries as a share of the calls: Nygard,
"Release It!" (2007).
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, cast

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from foundation.clock import Clock
from foundation.errors import ComponentError, ModelForbidden, UpstreamDown
from models.settings import ResilienceSettings

# Share of a model's calls that may be retries, after the saved ones are spent, so that an outage does not multiply the load
RETRY_SHARE, SAVED_RETRIES = 0.2, 10.0
# Longest wait before a retry, also where the provider asks for a longer one: a person waits for the answer
WAIT_MAX_S = 8.0
# Failures in a row after which a model is left alone, and for how long
BREAKER_FAILURES, BREAKER_OPEN_S = 5, 30.0

T = TypeVar("T")
Attempt = Callable[[int], Awaitable[T]]


class Attempts:
    """The attempts at calls of some models, the first one and its fallbacks."""

    def __init__(self, names: Sequence[str], settings: ResilienceSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self.breakers = [Breaker(name, clock) for name in names]

    async def first_success(self, attempt: Attempt[T], deadline: float) -> tuple[int, T]:
        """Call `attempt` for each model until one succeeds; return its index and result. Raises a ComponentError: all failed."""
        failures: list[ComponentError] = []
        for index in range(len(self.breakers)):
            try:
                return index, await self._with_retries(index, attempt, deadline)
            except ComponentError as error:
                failures.append(error)
        raise _combine(failures)

    async def _with_retries(self, index: int, attempt: Attempt[T], deadline: float) -> T:
        breaker = self.breakers[index]

        def give_up(state: RetryCallState) -> bool:
            late = self._clock.monotonic_s() + state.upcoming_sleep >= deadline
            return state.attempt_number >= self._settings.attempts or late or not breaker.spend_retry()

        breaker.admit()
        retrying = AsyncRetrying(
            retry=retry_if_exception(self._worth_retrying), wait=self._wait_s, stop=give_up, sleep=_sleep, reraise=True
        )
        return cast("T", await retrying(attempt, index))

    def _worth_retrying(self, error: BaseException) -> bool:
        # Not after our own time limit, nor where the provider asks for a longer wait than anybody has
        if not isinstance(error, ComponentError) or not error.retryable or type(error.__cause__) is TimeoutError:
            return False
        return (error.retry_after_s or 0.0) <= WAIT_MAX_S

    def _wait_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, ComponentError) and error.retry_after_s is not None:
            return error.retry_after_s
        return wait_random_exponential(multiplier=0.25, max=WAIT_MAX_S)(state)


async def _sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)


def _combine(failures: Sequence[ComponentError]) -> ComponentError:
    """Return the only failure, or one of the last model's kind that names them all, with the shortest wait."""
    if len(failures) == 1:
        return failures[0]
    waits = [error.retry_after_s for error in failures if error.retry_after_s is not None]
    told, public = (
        f"All {len(failures)} chat models failed. {' Then: '.join(texts)}"
        for texts in ([str(error) for error in failures], [error.public for error in failures])
    )
    failure = next((error for error in reversed(failures) if not isinstance(error, ModelForbidden)), failures[-1])
    combined = type(failure)(told, public=public, retry_after_s=min(waits, default=None))
    combined.__cause__ = failure
    return combined


class Breaker:
    """A circuit breaker with a budget of retries, so that an outage does not multiply the load on a provider."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name, self._clock = name, clock
        self._failures, self._open_until, self._trial, self._retries = 0, 0.0, False, SAVED_RETRIES
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        return self._failures >= BREAKER_FAILURES

    def admit(self) -> None:
        """Admit a call, whose outcome `record` must get. Raises UpstreamDown, with `retry_after_s`: the breaker is open, or on trial."""
        with self._lock:
            if self.is_open:
                wait_s = self._open_until - self._clock.monotonic_s()
                if wait_s > 0 or self._trial:
                    raise UpstreamDown(
                        f"{self.name} failed {self._failures} times in a row and is left alone for a while. Try again later.",
                        retry_after_s=max(wait_s, 1.0),
                    )
                self._trial = True
            self._retries = min(SAVED_RETRIES, self._retries + RETRY_SHARE)

    def spend_retry(self) -> bool:
        """Spend one retry; return whether there was one left, and the breaker is closed."""
        with self._lock:
            if self.is_open or self._retries < 1:
                return False
            self._retries -= 1
            return True

    def record(self, *, failed: bool | None) -> None:
        """Report how a call ended. `None`: it was cancelled, or its failure says nothing about the model's health."""
        with self._lock:
            self._trial = False
            if failed is not None:
                self._failures = self._failures + 1 if failed else 0
                self._open_until = self._clock.monotonic_s() + BREAKER_OPEN_S

"""A circuit breaker, after Nygard, "Release It!" (2007), and a retry budget."""

from __future__ import annotations

import threading

from foundation.clock import Clock
from foundation.errors import UpstreamDown


class Breaker:
    """A circuit breaker: after several failures in a row it refuses calls for a while, then admits a single trial.
    Only retryable failures count: a refused key proves that the server answers.
    """

    def __init__(self, *, name: str, failures: int, open_s: float, clock: Clock) -> None:
        self.name, self._limit, self._open_s, self._clock = name, failures, open_s, clock
        self._failures = 0
        self._open_until = 0.0
        self._trial = False
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        return self._failures >= self._limit

    def admit(self) -> None:
        """Admit a call; its outcome must be reported by one of the `record_` methods. Raises UpstreamDown: the breaker
        is open, or a trial is under way; `retry_after_s` says how long to wait.
        """
        with self._lock:
            if not self.is_open:
                return
            wait_s = self._open_until - self._clock.monotonic_s()
            if wait_s > 0 or self._trial:
                raise UpstreamDown(
                    f"{self.name} failed {self._failures} times in a row and is left alone for a while. Try again later.",
                    retry_after_s=max(wait_s, 1.0),
                )
            self._trial = True

    def record_success(self) -> None:
        with self._lock:
            self._failures, self._trial = 0, False

    def record_failure(self) -> None:
        with self._lock:
            self._failures, self._trial = self._failures + 1, False
            self._open_until = self._clock.monotonic_s() + self._open_s

    def record_no_verdict(self) -> None:
        """Report a call that was cancelled, or whose failure says nothing about the model's health."""
        with self._lock:
            self._trial = False


class RetryBudget:
    """Limits retries to a share of the calls, or an outage would multiply the load on a provider. Each call earns `share`."""

    SAVED = 10.0

    def __init__(self, share: float) -> None:
        self._share = share
        self._left = self.SAVED
        self._lock = threading.Lock()

    def earn(self) -> None:
        with self._lock:
            self._left = min(self.SAVED, self._left + self._share)

    def spend(self) -> bool:
        """Spend one retry; return whether there was one left."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True

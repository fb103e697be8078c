"""Two ways to spare a model that fails: a circuit breaker, after Nygard, "Release It!" (2007), and a budget of retries."""

from __future__ import annotations

import threading

from foundation.clock import Clock
from foundation.errors import UpstreamDown


class Breaker:
    """Spares a model that fails again and again: refuses at once for a while, then lets a single call try. Counts failures in
    a row, of the retryable kind only: a refused key proves that somebody answers."""

    def __init__(self, *, name: str, failures: int, open_s: float, clock: Clock) -> None:
        self._name, self._limit, self._open_s, self._clock = name, failures, open_s, clock
        self._failures = 0
        self._open_until = 0.0
        self._trial = False
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        return self._failures >= self._limit

    def admit(self) -> None:
        """Return if a call may be made; every call that was admitted must be reported by one of the other methods.

        Raises:
            UpstreamDown: the breaker is open, or another call is trying just now; with the seconds to wait.
        """
        with self._lock:
            if not self.is_open:
                return
            wait_s = self._open_until - self._clock.monotonic_s()
            if wait_s > 0 or self._trial:
                raise UpstreamDown(
                    f"{self._name} failed {self._failures} times in a row and is left alone for a while. Try again later.",
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
        """The call was cancelled, or failed in a way that says nothing about the model's health."""
        with self._lock:
            self._trial = False


class RetryBudget:
    """Retries as a share of the calls: each call earns `share`, each retry costs 1, and a few are always saved up. Without it
    an outage multiplies the load on a provider by the attempts of every call, just when it can least bear it."""

    SAVED = 10.0

    def __init__(self, share: float) -> None:
        self._share = share
        self._left = self.SAVED
        self._lock = threading.Lock()

    def earn(self) -> None:
        with self._lock:
            self._left = min(self.SAVED, self._left + self._share)

    def spend(self) -> bool:
        """Whether one more retry may be made; it is then paid for."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True

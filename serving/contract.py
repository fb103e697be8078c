"""The port of the serving layer's shared memory: what several workers must agree on for a while, and may forget afterwards.

A cache holds values that expire and quotas that are exact under concurrent calls. Everything is kept by tenant and key;
no call reaches another tenant's. What must not be lost belongs into a database.

Quotas are `take`, on a sliding window counter (two counters and a weight; the same as in the limits library). What a call uses up is known
afterwards: take an estimate first, and settle the difference, up or down, with `forced`. An amount of 0 only looks. Money is counted in whole millionths of a dollar.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

CACHE_STAYS = (
    "counts of quotas under a hash of the person, until their windows have passed; sessions, sealed, which end with the key or "
    "token behind them"
)
"""Of a person who is erased."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What came of a `take`."""

    allowed: bool
    """Whether the amount was taken, all of it; otherwise nothing was."""
    limit: int
    remaining: int
    """What may still be taken now. Never below 0."""
    reset_s: float
    """Until the whole limit is free again, if nobody takes any more; 0 where it is."""
    retry_after_s: float = 0.0
    """Until the refused amount would fit, if nobody takes any more; infinite where it exceeds the limit."""


@runtime_checkable
class Cache(Protocol):
    """Safe under concurrent calls, from any event loop. Texts and bytes come back as they were.

    Raises, from every method but `close`:
        StoreUnavailable: the server is unreachable or too slow, or the cache was closed.
    """

    async def get(self, tenant: str, key: str) -> bytes | None:
        """The value, unless there is none or it has expired."""
        ...

    async def set(self, tenant: str, key: str, value: bytes, *, ttl_s: float, only_new: bool = False) -> bool:
        """Keep `value` for `ttl_s` seconds, at most: a full cache forgets early. Whether it was stored, which with
        `only_new` one of several callers at once is told, and whoever finds a value is not."""
        ...

    async def delete(self, tenant: str, key: str) -> bool:
        """Whether there was a value."""
        ...

    async def forget(self, tenant: str, prefix: str) -> int:
        """Delete every value of the tenant whose key begins with `prefix`; gives how many. Quotas stay."""
        ...

    async def take(
        self, tenant: str, key: str, amount: int = 1, *, limit: int, window_s: int, forced: bool = False
    ) -> Quota:
        """Take `amount` of `limit` in any `window_s` seconds, all or nothing; `forced`, it is booked though it goes over,
        and may be negative."""
        ...

    def close(self) -> None:
        """A second call does nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window counter: what was taken in this window and the last one, which counts for less and less."""

    previous: int
    current: int
    passed_s: float
    """Since this window began."""
    window_s: int

    @property
    def used(self) -> int:
        return math.floor(self.previous * self._left_s / self.window_s) + self.current

    @property
    def _left_s(self) -> float:
        return max(0.0, self.window_s - self.passed_s)

    def quota(self, *, allowed: bool, limit: int, amount: int) -> Quota:
        """How this window, after the taking, looks to the caller."""
        reset = self._left_s + self.window_s if self.current > 0 else self._left_s if self.previous > 0 else 0.0
        retry = 0.0 if allowed else self._fits_after_s(limit - amount)
        return Quota(allowed, limit, max(0, limit - self.used), reset, retry)

    def _fits_after_s(self, free: int) -> float:
        """Until no more than `free` is used."""
        if free < 0:
            return math.inf
        if self.current <= free:  # what is left of the previous window goes in the rest of this one
            return max(0.0, self._left_s - self.window_s * (free - self.current + 1) / self.previous)
        return self._left_s + self.window_s * max(0.0, 1 - (free + 1) / self.current)

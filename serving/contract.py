"""The port of the cache: short-lived state that several workers share and may lose.

A cache holds values that expire, and quotas that are exact under concurrent calls. Both are kept by tenant and key; no call reaches another
tenant's. Data that must not be lost belongs in a database.

`take` uses a sliding window counter (two counters and a weight, as in the limits library). The use of a call is known only afterwards: take
an estimate first, then settle the difference, up or down, with `forced`. An amount of 0 only reads. Money is counted in whole microdollars.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

    from foundation.stores.erasures import Erasures
    from orchestration.effects.policy import Policy
    from retrieval.contract import DocumentLedger

# What remains of a person who is erased
CACHE_STAYS = (
    "counts of quotas under a hash of the person, until their windows have passed; encrypted sessions, which end with the key or "
    "token"
)


@dataclass(frozen=True, slots=True)
class Quota:
    """The result of a `take`."""

    allowed: bool
    """Whether the whole amount was taken; otherwise nothing was."""
    limit: int
    remaining: int
    """The amount that may still be taken now, at least 0."""
    reset_s: float
    """Seconds until the whole limit is free again, if nothing more is taken; 0 where it is free."""
    retry_after_s: float = 0.0
    """Seconds until the refused amount would fit, if nothing more is taken; infinite where it exceeds the limit."""


@runtime_checkable
class Cache(Protocol):
    """Safe under concurrent calls, from any event loop. Texts and bytes come back unchanged. Every method but `close` raises
    StoreUnavailable: the server is unreachable or too slow, or the cache was closed.
    """

    async def get(self, tenant: str, key: str) -> bytes | None:
        """Return the value, or `None` where it is missing or expired."""
        ...

    async def set(self, tenant: str, key: str, value: bytes, *, ttl_s: float, only_new: bool = False) -> bool:
        """Store `value` for at most `ttl_s` seconds; a full cache evicts earlier. Return whether it was stored: with
        `only_new`, true for one of several concurrent callers, and false where there is a value.
        """
        ...

    async def delete(self, tenant: str, key: str) -> bool:
        """Delete a value. Return whether there was one."""
        ...

    async def forget(self, tenant: str, prefix: str) -> int:
        """Delete every value of the tenant whose key begins with `prefix`; return how many. Quotas stay."""
        ...

    async def take(
        self, tenant: str, key: str, amount: int = 1, *, limit: int, window_s: int, forced: bool = False
    ) -> Quota:
        """Take `amount` of `limit` per `window_s` seconds, all or nothing; `forced`: also beyond it, or below 0."""
        ...

    def close(self) -> None:
        """Close the cache. A second call does nothing."""
        ...


class AnswerStores(ABC):
    """What opens a store of answers that are given again, where an extension offers it as a service."""

    @abstractmethod
    def open(
        self,
        cache: Cache,
        *,
        ledger: DocumentLedger,
        embedder: Embeddings,
        policy: Policy,
        writer: str,
        erasures: Erasures,
    ) -> object:
        """Return the store, which an agent finds by its class. `writer` names what else answers depend on: models, weights and prompts."""

    @abstractmethod
    async def forget(self, cache: Cache, tenant: str) -> int:
        """Delete every answer of a tenant from the cache; return how many entries."""


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window counter: the amounts of this window and of the previous one, whose weight falls to 0."""

    previous: int
    current: int
    passed_s: float
    """Seconds since this window began."""
    window_s: int

    @property
    def used(self) -> int:
        return math.floor(self.previous * self._left_s / self.window_s) + self.current

    @property
    def _left_s(self) -> float:
        return max(0.0, self.window_s - self.passed_s)

    def quota(self, *, allowed: bool, limit: int, amount: int) -> Quota:
        """Return the caller's view of this window, after the taking."""
        reset = self._left_s + self.window_s if self.current > 0 else self._left_s if self.previous > 0 else 0.0
        retry = 0.0 if allowed else self._fits_after_s(limit - amount)
        return Quota(allowed, limit, max(0, limit - self.used), reset, retry)

    def _fits_after_s(self, free: int) -> float:
        """Return the seconds until at most `free` is used."""
        if free < 0:
            return math.inf
        if self.current <= free:  # what remains of the previous window expires within this one
            return max(0.0, self._left_s - self.window_s * (free - self.current + 1) / self.previous)
        return self._left_s + self.window_s * max(0.0, 1 - (free + 1) / self.current)

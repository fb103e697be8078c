"""A cache in this process, for one worker and without installation. Several workers need `redis` to count together."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import Field

from foundation.clock import Clock
from foundation.components import Context
from foundation.errors import StoreUnavailable
from foundation.settings import Section
from foundation.stores.registry import Store
from serving.contract import CACHE_STAYS, Quota, Window

_Place = tuple[str, str]
T = TypeVar("T")


class Options(Section):
    max_entries: int = Field(default=100_000, ge=1)
    """Maximum values, and maximum windows; the least recently used is evicted."""


@dataclass
class _Kept(Generic[T]):
    value: T
    until: float


class _Store(OrderedDict[_Place, _Kept[T]]):
    """Entries that have not expired; the least recently used is evicted where there are too many."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def alive(self, place: _Place, now: float) -> _Kept[T] | None:
        entry = self.get(place)
        if entry is None or entry.until <= now:
            self.pop(place, None)
            return None
        self.move_to_end(place)
        return entry

    def keep(self, place: _Place, entry: _Kept[T]) -> None:
        self[place] = entry
        self.move_to_end(place)
        if len(self) > self._most:
            self.popitem(last=False)


@dataclass
class _Windows:
    """The beginning of the current window, and the amounts taken in it and in the previous one."""

    begun: float
    previous: int = 0
    current: int = 0

    def move_on(self, now: float, window_s: int) -> None:
        passed = now - self.begun
        if passed >= 2 * window_s:
            self.begun, self.previous, self.current = now, 0, 0
        elif passed >= window_s:
            self.begun, self.previous, self.current = self.begun + window_s, self.current, 0

    def at(self, now: float, window_s: int) -> Window:
        return Window(self.previous, self.current, now - self.begun, window_s)


class MemoryCache:
    """See `serving.contract.Cache`."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._closed = False
        self._values: _Store[bytes] = _Store(options.max_entries)
        self._windows: _Store[_Windows] = _Store(options.max_entries)

    async def get(self, tenant: str, key: str) -> bytes | None:
        with self._lock:
            entry = self._values.alive((tenant, key), self._now())
            return entry.value if entry else None

    async def set(self, tenant: str, key: str, value: bytes, *, ttl_s: float, only_new: bool = False) -> bool:
        with self._lock:
            now = self._now()
            if only_new and self._values.alive((tenant, key), now):
                return False
            self._values.keep((tenant, key), _Kept(value, now + ttl_s))
            return True

    async def delete(self, tenant: str, key: str) -> bool:
        with self._lock:
            entry = self._values.alive((tenant, key), self._now())
            self._values.pop((tenant, key), None)
            return entry is not None

    async def forget(self, tenant: str, prefix: str) -> int:
        with self._lock:
            self._now()
            places = [place for place in self._values if place[0] == tenant and place[1].startswith(prefix)]
            for place in places:
                del self._values[place]
            return len(places)

    async def take(
        self, tenant: str, key: str, amount: int = 1, *, limit: int, window_s: int, forced: bool = False
    ) -> Quota:
        with self._lock:
            now, place = self._now(), (tenant, f"{key} {window_s}")
            entry = self._windows.alive(place, now) or _Kept(_Windows(now), 0.0)
            windows = entry.value
            windows.move_on(now, window_s)
            allowed = forced or windows.at(now, window_s).used + amount <= limit
            windows.current += amount if allowed else 0
            self._windows.keep(place, _Kept(windows, windows.begun + 2 * window_s))
            return windows.at(now, window_s).quota(allowed=allowed, limit=limit, amount=amount)

    def close(self) -> None:
        with self._lock:
            self._closed = True

    def _now(self) -> float:
        if self._closed:
            raise StoreUnavailable("The cache was closed by this process. Open the system again.")
        return self._clock.monotonic_s()


def build(options: Options, context: Context) -> MemoryCache:
    return MemoryCache(options, context.clock)


def stores(options: Options) -> tuple[Store, ...]:  # noqa: ARG001 - the signature of every adapter
    return (Store(name="cache", stays=f"only in the memory of the running server. {CACHE_STAYS}"),)

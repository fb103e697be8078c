"""A cache in this process, for one worker and without installation. Several workers need one that they share to count together."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

from foundation.clock import Clock
from foundation.components import Context
from foundation.errors import StoreUnavailable
from foundation.settings import Section as Options  # it takes none
from foundation.stores.registry import Store
from serving.contract import CACHE_STAYS, Quota, Window

T = TypeVar("T")


# Maximum number of values, and of windows
MOST_ENTRIES = 100_000


class _Store(OrderedDict[tuple[str, str], tuple[float, T]]):
    """Values with the moment of their end, by tenant and key. The least recently used is evicted."""

    def alive(self, place: tuple[str, str], now: float) -> T | None:
        until, value = self.get(place, (now, None))
        if until <= now:
            self.pop(place, None)
            return None
        self.move_to_end(place)
        return value

    def keep(self, place: tuple[str, str], value: T, *, until: float) -> None:
        self[place] = until, value
        self.move_to_end(place)
        if len(self) > MOST_ENTRIES:
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

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._closed = False
        self._values: _Store[bytes] = _Store()
        self._windows: _Store[_Windows] = _Store()

    async def get(self, tenant: str, key: str) -> bytes | None:
        with self._lock:
            return self._values.alive((tenant, key), self._now())

    async def set(self, tenant: str, key: str, value: bytes, *, ttl_s: float, only_new: bool = False) -> bool:
        with self._lock:
            now = self._now()
            if only_new and self._values.alive((tenant, key), now) is not None:
                return False
            self._values.keep((tenant, key), value, until=now + ttl_s)
            return True

    async def delete(self, tenant: str, key: str) -> bool:
        with self._lock:
            was_alive = self._values.alive((tenant, key), self._now()) is not None
            self._values.pop((tenant, key), None)
            return was_alive

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
            windows = self._windows.alive(place, now) or _Windows(now)
            windows.move_on(now, window_s)
            allowed = forced or windows.at(now, window_s).used + amount <= limit
            windows.current += amount if allowed else 0
            # two windows long: the one before counts with a weight
            self._windows.keep(place, windows, until=windows.begun + 2 * window_s)
            return windows.at(now, window_s).quota(allowed=allowed, limit=limit, amount=amount)

    def close(self) -> None:
        with self._lock:
            self._closed = True

    def _now(self) -> float:
        if self._closed:
            raise StoreUnavailable("The cache was closed by this process. Open the system again.")
        return self._clock.monotonic_s()


def build(options: Options, context: Context) -> MemoryCache:  # noqa: ARG001 - the signature of every adapter
    return MemoryCache(context.clock)


def stores(options: Options) -> tuple[Store, ...]:  # noqa: ARG001 - the signature of every adapter
    return (Store(name="cache", stays=f"only in the memory of the running server. {CACHE_STAYS}"),)

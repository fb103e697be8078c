"""Caches with one fault each, and the promise that must catch it."""

from __future__ import annotations

import asyncio
from typing import Any

from foundation.clock import SystemClock
from serving.caches.memory import MemoryCache
from serving.contract import Quota


class Healthy(MemoryCache):
    caught_by: str | None = None

    def __init__(self) -> None:
        super().__init__(SystemClock())


class SharesBetweenTenants(Healthy):
    caught_by = "keeps_tenants_apart"

    async def get(self, tenant: str, key: str) -> bytes | None:
        return await super().get("everybody", key)

    async def set(self, tenant: str, *given: Any, **more: Any) -> bool:
        return await super().set("everybody", *given, **more)


class JoinsTenantAndKeyWithAColon(Healthy):
    caught_by = "keeps_tenants_apart"

    async def get(self, tenant: str, key: str) -> bytes | None:
        return await super().get("", f"{tenant}:{key}")

    async def set(self, tenant: str, key: str, *given: Any, **more: Any) -> bool:
        return await super().set("", f"{tenant}:{key}", *given, **more)


class KeepsTextOnly(Healthy):
    caught_by = "gives_back_what_it_was_given"

    async def set(self, tenant: str, key: str, value: bytes, **more: Any) -> bool:
        return await super().set(tenant, key, value.decode(errors="replace").encode(), **more)


class NeverForgets(Healthy):
    caught_by = "forgets_a_value_in_time"

    async def set(self, *given: Any, **more: Any) -> bool:
        return await super().set(*given, **{**more, "ttl_s": 1e6})


class StoresWhetherNewOrNot(Healthy):
    caught_by = "stores_only_new_once"

    async def set(self, tenant: str, key: str, value: bytes, *, ttl_s: float, only_new: bool = False) -> bool:
        return await super().set(tenant, key, value, ttl_s=ttl_s)


class FindsWhatWasDeleted(Healthy):
    caught_by = "deletes"

    async def delete(self, tenant: str, key: str) -> bool:
        return await self.get(tenant, key) is not None


class ForgetsEveryTenants(Healthy):
    caught_by = "forgets_what_begins_alike"

    async def forget(self, tenant: str, prefix: str) -> int:
        return await super().forget(tenant, prefix) + await super().forget(f"{tenant}2", prefix)


class ChecksAndThenTakes(Healthy):
    caught_by = "takes_all_or_nothing_under_concurrent_calls"

    async def take(
        self, tenant: str, key: str, amount: int = 1, *, limit: int, window_s: int, forced: bool = False
    ) -> Quota:
        looked = await super().take(tenant, key, 0, limit=limit, window_s=window_s)
        await asyncio.sleep(0)
        if not forced and looked.remaining < amount:
            return await super().take(tenant, key, amount, limit=limit, window_s=window_s)
        return await super().take(tenant, key, amount, limit=limit, window_s=window_s, forced=True)


class TakesWhatIsLeft(Healthy):
    caught_by = "takes_until_the_limit_and_says_what_remains"

    async def take(
        self, tenant: str, key: str, amount: int = 1, *, limit: int, window_s: int, forced: bool = False
    ) -> Quota:
        left = (await super().take(tenant, key, 0, limit=limit, window_s=window_s)).remaining
        return await super().take(tenant, key, min(amount, left), limit=limit, window_s=window_s, forced=forced)


class ForgetsToBookWhatGoesOver(Healthy):
    caught_by = "books_what_was_used_though_it_goes_over_and_gives_back"

    async def take(
        self, tenant: str, key: str, amount: int = 1, *, limit: int, window_s: int, forced: bool = False
    ) -> Quota:
        return await super().take(tenant, key, amount, limit=limit, window_s=window_s)


class CountsTakingByLooking(Healthy):
    caught_by = "looks_without_taking"

    async def take(
        self, tenant: str, key: str, amount: int = 1, *, limit: int, window_s: int, forced: bool = False
    ) -> Quota:
        return await super().take(tenant, key, max(amount, 1), limit=limit, window_s=window_s, forced=forced)


class AnswersAfterClosing(Healthy):
    caught_by = "says_that_it_was_closed"

    def close(self) -> None:
        pass


BROKEN = [
    SharesBetweenTenants, JoinsTenantAndKeyWithAColon, KeepsTextOnly, NeverForgets, StoresWhetherNewOrNot,
    FindsWhatWasDeleted, ForgetsEveryTenants, ChecksAndThenTakes, TakesWhatIsLeft, ForgetsToBookWhatGoesOver, CountsTakingByLooking,
    AnswersAfterClosing,
]  # fmt: skip

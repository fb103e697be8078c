"""Where the cache of answers plugs in: agents that answer from documents alone ask it first."""

from typing import Any

from extensions.answer_cache.answers import AnswerCache, forget
from extensions.answer_cache.settings import AnswerCacheSettings
from foundation.clock import Clock
from serving.contract import AnswerStores, Cache
from serving.hooks import Hooks


def plug(hooks: Hooks) -> None:
    hooks.services.append(CachedAnswers(hooks.section(AnswerCacheSettings), hooks.context.clock))


class CachedAnswers(AnswerStores):
    """Opens the cache of answers with the parts of a system."""

    def __init__(self, settings: AnswerCacheSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock

    def open(self, cache: Cache, **parts: Any) -> AnswerCache:
        return AnswerCache(self._settings, cache, clock=self._clock, **parts)

    async def forget(self, cache: Cache, tenant: str) -> int:
        return await forget(cache, tenant)

"""Open the shared parts of the serving layer: the cache, quotas, and what remembers answers."""

from dataclasses import dataclass
from typing import Any

from langchain_core.embeddings import Embeddings

from foundation.components import Assembly, load_removable
from foundation.stores.erasures import Erasures
from orchestration.effects.policy import Policy
from orchestration.settings import BudgetSettings
from retrieval.contract import DocumentLedger
from serving.contract import Cache
from serving.http.quotas import Quotas
from serving.settings import ServingSettings

ANSWERS = "serving.http.answer_cache"


@dataclass(frozen=True, kw_only=True)
class Serving:
    """The open parts of layer 5, without the server."""

    cache: Cache
    quotas: Quotas
    answers: Any
    """`serving.http.answer_cache.AnswerCache`; `None` where that is off."""


def open_serving(
    settings: ServingSettings,
    assembly: Assembly,
    *,
    budget: BudgetSettings,
    ledger: DocumentLedger,
    embedder: Embeddings,
    policy: Policy,
    writer: str,
    erasures: Erasures,
) -> Serving:
    """Open the cache and the stores of layer 5. `writer` names what else answers depend on: models, weights and prompts.

    Raises ConfigurationError: the cache cannot be built or a store cannot be opened.
    """
    cache: Cache = assembly.part("serving.cache", settings.cache, Cache)
    answers = None
    if settings.answer_cache.mode != "off":
        answers = load_removable(ANSWERS).AnswerCache(
            settings.answer_cache,
            cache,
            ledger,
            embedder,
            clock=assembly.context.clock,
            policy=policy,
            writer=writer,
            erasures=erasures,
        )
    return Serving(
        cache=cache,
        quotas=Quotas(settings.quotas, budget, cache),
        answers=answers,
    )

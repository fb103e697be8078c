"""Open the shared parts of the serving layer: the cache, quotas, and what remembers answers."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from langchain_core.embeddings import Embeddings

from foundation.components import Assembly
from foundation.stores.erasures import Erasures
from orchestration.effects.policy import Policy
from orchestration.settings import BudgetSettings
from retrieval.contract import DocumentLedger
from serving.contract import AnswerStores, Cache
from serving.http.quotas import Quotas
from serving.settings import ServingSettings


@dataclass(frozen=True, kw_only=True)
class Serving:
    """The open parts of layer 5, without the server."""

    cache: Cache
    quotas: Quotas
    answers: object | None


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
    services: Iterable[object],
) -> Serving:
    """Open the cache and the stores of layer 5. `writer` names what else answers depend on: models, weights and prompts.

    Raises ConfigurationError: the cache cannot be built or a store cannot be opened.
    """
    cache: Cache = assembly.part("serving.cache", settings.cache, Cache)
    stores = next((service for service in services if isinstance(service, AnswerStores)), None)
    parts: dict[str, Any] = {"ledger": ledger, "embedder": embedder, "policy": policy, "erasures": erasures}
    answers = stores.open(cache, writer=writer, **parts) if stores else None
    return Serving(cache=cache, quotas=Quotas(settings.quotas, budget, cache), answers=answers)

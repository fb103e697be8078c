"""Open what callers share: the cache, quotas, kept replies and jobs."""

from __future__ import annotations

from dataclasses import dataclass

from langchain_core.embeddings import Embeddings

from foundation.components import Assembly, load_removable
from foundation.stores.erasures import Erasures
from orchestration.contract import AnswerMemory
from orchestration.effects.policy import Policy
from orchestration.settings import BudgetSettings
from retrieval.contract import DocumentLedger
from serving.access.quotas import Quotas
from serving.contract import Cache
from serving.http.idempotency import IdempotencyStore
from serving.jobs.store import JobStore
from serving.settings import ServingSettings


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What is open of layer 5, but for the server itself."""

    cache: Cache
    quotas: Quotas
    idempotency: IdempotencyStore
    jobs: JobStore
    answers: AnswerMemory | None
    """Where answers are looked up before they are made again; `None`: nowhere."""


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
    """Open the cache and the stores of layer 5.

    Args:
        writer: what an answer depends on beside its question; another writer's answers are not given.

    Raises:
        ConfigurationError: the cache cannot be built or a store cannot be opened.
    """
    data, clock = assembly.context.data_dir, assembly.context.clock
    cache = assembly.part("serving.cache", settings.cache, Cache)
    answers = None
    if settings.answer_cache.mode != "off":
        answers = load_removable("serving.http.answer_cache").AnswerCache(
            settings.answer_cache, cache, ledger, embedder, clock=clock, policy=policy, writer=writer, erasures=erasures
        )
    return Serving(
        cache=cache,
        quotas=Quotas(settings.quotas, budget, cache),
        idempotency=assembly.keep(IdempotencyStore(data / "idempotency.sqlite", clock)),
        jobs=assembly.keep(JobStore(data / "jobs", clock, settings.jobs)),
        answers=answers,
    )

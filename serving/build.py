"""Open what callers share: the cache, and quotas, kept replies and jobs where their files are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langchain_core.embeddings import Embeddings

from foundation.components import Assembly, load_if_there, load_removable
from foundation.stores.erasures import Erasures
from orchestration.contract import AnswerMemory
from orchestration.effects.policy import Policy
from orchestration.settings import BudgetSettings
from retrieval.contract import DocumentLedger
from serving.contract import Cache
from serving.settings import ServingSettings

QUOTAS = "serving.access.quotas"


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What is open of layer 5, but for the server itself."""

    cache: Cache
    quotas: Any
    """`serving.access.quotas.Quotas`, like the two below it `None` without that file."""
    idempotency: Any
    """`serving.http.idempotency.IdempotencyStore`"""
    jobs: Any
    """`serving.jobs.store.JobStore`"""
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
    quotas, idempotency, jobs = map(load_if_there, (QUOTAS, "serving.http.idempotency", "serving.jobs.store"))
    return Serving(
        cache=cache,
        quotas=quotas and quotas.Quotas(settings.quotas, budget, cache),
        idempotency=idempotency and assembly.keep(idempotency.IdempotencyStore(data / "idempotency.sqlite", clock)),
        jobs=jobs and assembly.keep(jobs.JobStore(data / "jobs", clock, settings.jobs)),
        answers=answers,
    )

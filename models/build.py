"""Open the models that `[models]` names. Tracing and policy come from outside, as functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_core.embeddings import Embeddings

from foundation.components import Assembly
from foundation.settings import Part
from models.contract import EntailmentJudge, PriceSource, Reranker, ScoringParts
from models.encoders.remembering import RememberingEmbedder
from models.scoring.checked import CheckedJudge, reranker_of
from models.settings import ModelsSettings

if TYPE_CHECKING:  # takes longer to import than all that opens a reranker or a judge for a search alone
    from langchain_core.language_models import BaseChatModel


@dataclass(frozen=True, kw_only=True)
class Models:
    """The open parts of layer 2. `tenants` have their own `chat`."""

    chat: BaseChatModel
    tenants: Mapping[str, BaseChatModel]
    embedder: Embeddings
    query_embedder: Embeddings
    """The traced embedder with a cache, so that a question is embedded once."""
    reranker: Reranker | None
    judge: EntailmentJudge
    prices: PriceSource


def open_models(
    settings: ModelsSettings,
    assembly: Assembly,
    *,
    demand: Callable[[str], None],
    demand_one_of: Callable[[Sequence[str], Mapping[str, Sequence[str]]], None],
    watch_embedder: Callable[[Embeddings, PriceSource], Embeddings],
    watch_reranker: Callable[[Reranker], Reranker],
    pay_judge: Callable[[BaseChatModel, Mapping[str, BaseChatModel]], BaseChatModel],
    watch_judge: Callable[[EntailmentJudge], EntailmentJudge],
) -> Models:
    """Open every part of layer 2.

    Args:
        demand: called with a model's name before each call; raises where it may not be used.
        demand_one_of: called at the start with names of which one must be allowed, and those of tenants with their own.
        watch_embedder, watch_reranker, watch_judge: wrap the part in tracing; an embedder is paid for, too.
        pay_judge: returns the chat model for a judge of entailment, made from `chat` and those of tenants.

    Raises ConfigurationError: a part cannot be built, or policy allows none of the models.
    """
    from langchain_core.language_models import BaseChatModel

    from models.pricing import identity
    from models.resilience.resilient_chat import ResilientChatModel, resilient

    judge_with_model = (settings.entailment,) if {"model", "path"} & settings.entailment.options.keys() else ()
    for shared in (settings.embedder, settings.reranker, *judge_with_model):
        demand_one_of([str(shared.options.get("model", shared.use))], {})

    def open_chats(*chosen: Part) -> list[BaseChatModel]:
        return [assembly.part("models.chat", part, BaseChatModel) for part in chosen]

    candidates = open_chats(settings.chat, *settings.fallbacks)
    of_tenants = {name: open_chats(tenant.chat, *tenant.fallbacks) for name, tenant in settings.tenants.items()}

    def names_of(models: Sequence[BaseChatModel]) -> list[str]:
        return [identity(model)[1] for model in models]

    demand_one_of(names_of(candidates), {name: names_of(models) for name, models in of_tenants.items()})
    prices = assembly.part("models.prices", settings.prices, PriceSource)
    embedder = watch_embedder(assembly.part("models.embedder", settings.embedder, Embeddings), prices)
    query_embedder = RememberingEmbedder(embedder)
    reranker = open_reranker(settings, assembly, query_embedder)

    def as_one(models: Sequence[BaseChatModel], choices: Mapping[str, ResilientChatModel] = {}) -> ResilientChatModel:
        return resilient(models[0], models[1:], settings.resilience, assembly.context.clock, demand, choices=choices)

    choices = {name: as_one(open_chats(part)) for name, part in settings.choices.items()}
    chat, tenants = as_one(candidates, choices), {name: as_one(models) for name, models in of_tenants.items()}
    return Models(
        chat=chat,
        tenants=tenants,
        embedder=embedder,
        query_embedder=query_embedder,
        reranker=watch_reranker(reranker) if reranker else None,
        judge=watch_judge(open_judge(settings, assembly, query_embedder, pay_judge(chat, tenants))),
        prices=prices,
    )


def open_reranker(settings: ModelsSettings, assembly: Assembly, embedder: Embeddings) -> Reranker | None:
    """Open the reranker, which may use the embedder; `None`: none is configured."""
    if settings.reranker.use == "none":
        return None
    parts = ScoringParts(**vars(assembly.context), embedder=embedder)
    return reranker_of(assembly.part("models.reranker", settings.reranker, context=parts))


def open_judge(
    settings: ModelsSettings, assembly: Assembly, embedder: Embeddings, chat: BaseChatModel | None = None
) -> EntailmentJudge:
    """Open the judge of entailment, which may use the embedder or the chat model, with its results checked."""
    parts = ScoringParts(**vars(assembly.context), embedder=embedder, chat=chat)
    return CheckedJudge(assembly.part("models.entailment", settings.entailment, EntailmentJudge, context=parts))

"""The composition root, the only place where parts meet. It opens them in layer order and closes them in reverse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation import extensions
from foundation.components import Assembly, Context
from foundation.stores.erasures import Erasures
from serving.settings import Loaded, Settings, context_of

if TYPE_CHECKING:  # the real imports are in the functions, so that `--help` is fast
    from langchain_core.embeddings import Embeddings
    from langchain_core.language_models import BaseChatModel
    from langchain_core.tools import BaseTool

    from foundation.machine.manifest import Manifest
    from models.build import Models
    from models.contract import Call, PriceSource, Reranker
    from observability.stores.costs import CostLedger
    from observability.stores.spans import SpanStore
    from observability.telemetry.setup import Telemetry
    from orchestration.contract import Agent, AgentParts
    from orchestration.effects.approvals import SqliteApprovals
    from orchestration.effects.executor import Executor
    from orchestration.effects.policy import Policy
    from orchestration.effects.records import Recorders
    from orchestration.prompts.files import Prompts
    from orchestration.run.spending import SqliteSpending
    from retrieval.build import Retrieval
    from retrieval.contract import Chunker, DocumentLedger, Retriever, VectorIndex
    from retrieval.grounding.evidence import Grounding
    from retrieval.ingest.pipeline import Ingestor
    from serving.contract import Cache
    from serving.hooks import Hooks
    from serving.http.quotas import Quotas


@dataclass(frozen=True, kw_only=True)
class System:
    """All running parts, by the name of their port."""

    settings: Settings
    manifest: Manifest
    context: Context
    telemetry: Telemetry
    spans: SpanStore
    costs: CostLedger
    chat: BaseChatModel
    embedder: Embeddings
    reranker: Reranker | None
    prices: PriceSource
    chunker: Chunker
    ledger: DocumentLedger
    vectors: VectorIndex
    ingestor: Ingestor
    retriever: Retriever
    grounding: Grounding
    tools: tuple[BaseTool, ...]
    approvals: SqliteApprovals
    spending: SqliteSpending
    recorders: Recorders
    policy: Policy
    executor: Executor
    parts: AgentParts
    """The parts that the agent was built from, for code that builds another agent."""
    agent: Agent
    tenants: Mapping[str, BaseChatModel]
    """Chat models of tenants that have their own."""
    cache: Cache
    quotas: Quotas
    erasures: Erasures
    hooks: Hooks


@contextmanager
def open_system(loaded: Loaded, *, corpus: Path | None = None) -> Iterator[System]:
    """Build every part, in layer order, and close them in reverse.

    `corpus` is a folder whose digest the run manifest will contain. Raises ConfigurationError: a part cannot be built,
    the weights are not the pinned ones, another process owns the store, or the index was written with another embedder
    or chunker.
    """
    settings = loaded.settings
    context = context_of(settings)
    digests = _hash_weights_while_importing(settings, context)

    from foundation.machine import manifest
    from orchestration.prompts.files import open_prompts

    (context.data_dir / "reports").mkdir(exist_ok=True)
    with ExitStack() as opened:
        brought = extensions.find_modules("orchestration.prompts", settings.extensions)
        prompts = open_prompts(settings.orchestration.prompts, brought)
        run = manifest.describe(settings, weights=digests, corpus=corpus, clock=context.clock, prompts=prompts.labels())
        yield _open_layers(settings, Assembly(context, opened), run, prompts)


def _open_layers(settings: Settings, assembly: Assembly, run: Manifest, prompts: Prompts) -> System:
    # each with the parts of those before it
    from models.pricing import identity
    from observability.build import open_observability
    from orchestration.build import open_agent, open_orchestration
    from orchestration.effects.policy import Policy
    from orchestration.effects.records import Recorders
    from serving.build import open_serving
    from serving.hooks import plug_in

    hooks = plug_in(settings, assembly)
    context, manifest_id = assembly.context, run.manifest_id
    policy, erasures = Policy(settings.orchestration.policy), Erasures(context.data_dir, context.records)
    watching = open_observability(settings.observability, assembly, manifest_id=manifest_id, services=hooks.services)
    models = _open_models(settings, hooks, policy, watching.costs)
    chat_name = "/".join(identity(models.chat))
    names_of_tenants = {name: "/".join(identity(chat)) for name, chat in models.tenants.items()}
    retrieval = _open_retrieval(settings, hooks, models, partial(watching.costs.pay, models.prices))
    serving = open_serving(
        settings.serving,
        assembly,
        budget=settings.orchestration.budget,
        ledger=retrieval.ledger,
        embedder=models.query_embedder,
        policy=policy,
        writer=f"{chat_name} {names_of_tenants} {run.weights} {prompts.labels()}",
        erasures=erasures,
        services=hooks.services,
    )
    recorders = Recorders(hooks.recorders, model=chat_name, manifest_id=manifest_id, tenant_models=names_of_tenants)
    acting = open_orchestration(
        settings.orchestration,
        assembly,
        demand=hooks.demand,
        recorders=recorders,
        announcers=hooks.announcers,
        ledger=retrieval.ledger,
        retriever=retrieval.retriever,
    )
    layers = (watching, models, retrieval, acting, serving)
    opened = {name: part for layer in layers for name, part in vars(layer).items()}
    opened["hooks"] = hooks
    parts = _agent_parts(settings, context, prompts, opened)
    agent = open_agent(settings.orchestration, assembly, parts, models.tenants)
    opened |= {
        "settings": settings,
        "manifest": run,
        "retriever": parts.retriever,
        "policy": policy,
        "parts": parts,
        "erasures": erasures,
    }
    opened["agent"] = _wrap_agent(agent, hooks, opened)
    return System(**{field.name: opened[field.name] for field in fields(System)})


def _wrap_agent(agent: Agent, hooks: Hooks, opened: Mapping[str, Any]) -> Agent:
    from observability.telemetry.instrument import CountedAgent
    from orchestration.effects.records import RecordedAgent
    from serving.hooks import Around

    hooks.agents[Around.RECORD] = lambda inner: RecordedAgent(inner, opened["recorders"])
    hooks.agents[Around.COUNT] = CountedAgent
    hooks.agents[Around.LIMIT] = opened["quotas"].limit_agent
    for place in sorted(hooks.agents):
        agent = hooks.agents[place](agent)
    return agent


def _open_models(settings: Settings, hooks: Hooks, policy: Policy, costs: CostLedger) -> Models:
    from models.build import open_models
    from observability.telemetry.instrument import TracedEmbedder, TracedJudge, TracedReranker
    from orchestration.run.judging_chat import JudgingChatModel

    def demand_model(name: str) -> None:
        hooks.demand("model", name)
        policy.demand_model(name)

    return open_models(
        settings.models,
        hooks.assembly,
        demand=demand_model,
        demand_one_of=policy.demand_one_of,
        watch_embedder=lambda embedder, prices: TracedEmbedder(embedder, partial(costs.pay, prices)),
        watch_reranker=TracedReranker,
        pay_judge=lambda chat, tenants: JudgingChatModel(inner=chat, tenants=tenants),
        watch_judge=TracedJudge,
    )


def _open_retrieval(settings: Settings, hooks: Hooks, models: Models, pay: Callable[[Call], object]) -> Retrieval:
    from retrieval.build import open_retrieval
    from retrieval.contract import IngestHelpers, Rewording, RightsCheck

    helpers = next((service for service in hooks.services if isinstance(service, IngestHelpers)), None)
    return open_retrieval(
        settings.retrieval,
        hooks.assembly,
        embedder=models.embedder,
        query_embedder=models.query_embedder,
        encoder_part=settings.models.embedder.use,
        reranker=models.reranker,
        judge=models.judge,
        workers=lambda fingerprint: helpers and helpers.open(fingerprint, pay),
        refused=hooks.context.data_dir / "refused",
        rewordings=[service for service in hooks.services if isinstance(service, Rewording)],
        rights=[service for service in hooks.services if isinstance(service, RightsCheck)],
    )


def _agent_parts(settings: Settings, context: Context, prompts: Prompts, opened: dict[str, Any]) -> AgentParts:
    from observability.telemetry.instrument import TracedRetriever
    from orchestration.contract import AgentParts

    searched = f"{settings.retrieval.ledger.use}+{settings.retrieval.vectors.use}"
    named = (
        vars(context)
        | opened
        | {
            "embedder": opened["query_embedder"],
            "retriever": TracedRetriever(opened["retriever"], source=searched),
            "meter": opened["costs"],
            "spending": opened["quotas"].limit_spending(opened["spending"]),
            "settings": settings.orchestration,
            "prompts": prompts,
            "services": [*opened["hooks"].services, *filter(None, [opened["answers"]])],
            "answer_checks": opened["hooks"].answer_checks,
        }
    )
    return AgentParts(**{field.name: named[field.name] for field in fields(AgentParts) if field.name in named})


def _hash_weights_while_importing(settings: Settings, context: Context) -> Mapping[str, str]:
    """Return the digests of the weights. Hashing 190 MB takes as long as the imports, so both run at once."""
    from models import weights

    with ThreadPoolExecutor(1, thread_name_prefix="hash-weights") as hashing:
        named = weights.named_in([*settings.models.parts, settings.orchestration.agent], context.stack_dir)
        digests = hashing.submit(weights.digests, named, data_dir=context.data_dir)
        for layer in ("models", "retrieval", "orchestration", "observability", "serving"):
            import_module(f"{layer}.build")
        return digests.result()

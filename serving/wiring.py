"""The composition root, the only place where parts meet. It opens them in layer order and closes them in reverse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation import extensions
from foundation.components import Assembly, Context
from foundation.stores.erasures import Erasures
from serving.settings import Loaded, Settings, context_of

if TYPE_CHECKING:  # the real imports are in the functions, so that `--help` is fast
    from foundation.machine.manifest import Manifest
    from models.build import Models
    from models.contract import Call
    from observability.build import Observability
    from observability.stores.costs import CostLedger
    from orchestration.build import Orchestration
    from orchestration.contract import Agent, AgentParts
    from orchestration.effects.policy import Policy
    from orchestration.effects.records import Recorders
    from orchestration.prompts.files import Prompts
    from retrieval.build import Retrieval
    from retrieval.contract import Retriever
    from serving.build import Serving
    from serving.hooks import Hooks
    from serving.http.quotas import Quotas


@dataclass(frozen=True, kw_only=True)
class System:
    """All running parts, by layer."""

    settings: Settings
    manifest: Manifest
    hooks: Hooks
    policy: Policy
    erasures: Erasures
    observability: Observability
    models: Models
    retrieval: Retrieval
    retriever: Retriever
    """That of `retrieval`, traced."""
    orchestration: Orchestration
    serving: Serving
    parts: AgentParts
    """The parts that the agent was built from, for code that builds another agent."""
    agent: Agent

    @property
    def context(self) -> Context:
        return self.hooks.context


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
    layers: dict[str, Any] = {
        "observability": watching,
        "models": models,
        "retrieval": retrieval,
        "orchestration": acting,
        "serving": serving,
    }
    parts = _agent_parts(settings, hooks, prompts, **layers)
    agent = open_agent(settings.orchestration, assembly, parts, models.tenants)
    return System(
        settings=settings,
        manifest=run,
        hooks=hooks,
        policy=policy,
        erasures=erasures,
        retriever=parts.retriever,
        parts=parts,
        agent=_wrap_agent(agent, hooks, recorders, serving.quotas),
        **layers,
    )


def _agent_parts(
    settings: Settings,
    hooks: Hooks,
    prompts: Prompts,
    *,
    observability: Observability,
    models: Models,
    retrieval: Retrieval,
    orchestration: Orchestration,
    serving: Serving,
) -> AgentParts:
    from observability.telemetry.instrument import TracedRetriever
    from orchestration.contract import AgentParts
    from serving.http.quotas import QuotaSpending

    retriever = TracedRetriever(
        retrieval.retriever, source=f"{settings.retrieval.ledger.use}+{settings.retrieval.vectors.use}"
    )
    return AgentParts(
        **vars(hooks.context),
        chat=models.chat,
        embedder=models.query_embedder,
        prices=models.prices,
        retriever=retriever,
        grounding=retrieval.grounding,
        ledger=retrieval.ledger,
        executor=orchestration.executor,
        checkpoints=orchestration.checkpoints,
        spending=QuotaSpending(orchestration.spending, serving.quotas),
        meter=observability.costs,
        settings=settings.orchestration,
        prompts=prompts,
        answer_checks=hooks.answer_checks,
        services=[*hooks.services, *filter(None, [serving.answers])],
    )


def _wrap_agent(agent: Agent, hooks: Hooks, recorders: Recorders, quotas: Quotas) -> Agent:
    from observability.telemetry.instrument import CountedAgent
    from orchestration.effects.records import RecordedAgent
    from serving.hooks import Around
    from serving.http.quotas import QuotaAgent

    hooks.agents[Around.RECORD] = lambda inner: RecordedAgent(inner, recorders)
    hooks.agents[Around.COUNT] = CountedAgent
    hooks.agents[Around.LIMIT] = lambda inner: QuotaAgent(inner, quotas)
    for place in sorted(hooks.agents):
        agent = hooks.agents[place](agent)
    return agent


def _open_models(settings: Settings, hooks: Hooks, policy: Policy, costs: CostLedger) -> Models:
    from models.build import open_models
    from observability.telemetry.instrument import TracedEmbedder, TracedJudge, TracedReranker
    from orchestration.run.metered_chat import MeteredChatModel

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
        pay_judge=lambda chat, tenants: MeteredChatModel(inner=chat, tenants=tenants),
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


def _hash_weights_while_importing(settings: Settings, context: Context) -> Mapping[str, str]:
    """Return the digests of the weights. Hashing 190 MB takes as long as the imports, so both run at once."""
    from models import weights

    with ThreadPoolExecutor(1, thread_name_prefix="hash-weights") as hashing:
        named = weights.named_in([*settings.models.parts, settings.orchestration.agent], context.stack_dir)
        digests = hashing.submit(weights.digests, named, data_dir=context.data_dir)
        for layer in ("models", "retrieval", "orchestration", "observability", "serving"):
            import_module(f"{layer}.build")
        return digests.result()

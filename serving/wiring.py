"""The composition root, the only place where parts meet. It opens them in layer order and closes them in reverse."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from foundation import names
from foundation.components import is_there, load_if_there, load_removable
from serving.settings import Loaded, context_of

if TYPE_CHECKING:  # the real imports are in the functions, so that `--help` is fast
    from langchain_core.embeddings import Embeddings
    from langchain_core.language_models import BaseChatModel
    from langchain_core.tools import BaseTool

    from foundation.components import Assembly, Context
    from foundation.stores.erasures import Erasures
    from models.build import Models
    from models.contract import PriceSource, Reranker
    from observability.stores.costs import CostLedger
    from observability.stores.spans import SpanStore
    from observability.telemetry.setup import Telemetry
    from orchestration.build import Orchestration
    from orchestration.contract import Agent, AgentParts
    from orchestration.effects.approvals import SqliteApprovals
    from orchestration.effects.executor import Executor
    from orchestration.effects.policy import Policy
    from orchestration.prompts.files import Prompts
    from retrieval.build import Retrieval
    from retrieval.contract import Chunker, DocumentLedger, Retriever, VectorIndex
    from retrieval.ingest.pipeline import Ingestor
    from serving.build import Serving
    from serving.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class System:
    """All running parts, by the name of their port. One that is typed `Any` is `None` where its file was deleted."""

    settings: Settings
    origins: dict[str, str]
    manifest: Any
    context: Context
    telemetry: Telemetry
    spans: SpanStore
    costs: CostLedger
    outcomes: Any
    chat: BaseChatModel
    cheaper: Sequence[BaseChatModel]
    """Cheaper chat models, which are tried before `chat`."""
    embedder: Embeddings
    reranker: Reranker | None
    prices: PriceSource
    chunker: Chunker
    ledger: DocumentLedger
    vectors: VectorIndex
    ingestor: Ingestor
    retriever: Retriever
    grounding: Any
    tools: tuple[BaseTool, ...]
    approvals: SqliteApprovals
    facts: Any
    audit: Any
    stops: Any
    policy: Policy
    executor: Executor
    parts: AgentParts
    """The parts that the agent was built from, for code that builds another agent."""
    agent: Agent
    objects: Any
    cache: Any
    quotas: Any
    idempotency: Any
    jobs: Any
    erasures: Erasures


@contextmanager
def open_system(loaded: Loaded, *, corpus: Path | None = None) -> Iterator[System]:
    """Build every part, in layer order, and close them in reverse.

    `corpus` is a folder whose digest the run manifest will contain. Raises ConfigurationError: a part cannot be built,
    the weights are not the pinned ones, another process owns the store, or the index was written with another embedder
    or chunker.
    """
    settings = loaded.settings
    context = context_of(settings)
    digests = _hash_weights_while_importing(settings, context.data_dir)

    from foundation.components import Assembly
    from orchestration.prompts.files import open_prompts

    (context.data_dir / "reports").mkdir(exist_ok=True)
    with ExitStack() as opened:
        prompts = open_prompts(settings.orchestration.prompts)
        run = _describe_run(settings, digests, corpus, context, prompts)
        layers = _Layers(loaded, Assembly(context, opened), run, prompts)
        _count_stores(layers.retrieval, layers.acting)
        yield layers.system()


class _Layers:
    """Opens the layers, each with the parts of those before it."""

    def __init__(self, loaded: Loaded, assembly: Assembly, run: Any, prompts: Prompts) -> None:
        from foundation.stores.erasures import Erasures
        from models.pricing import identity
        from observability.build import open_observability
        from orchestration.build import open_agent, open_orchestration
        from orchestration.effects.policy import Policy

        self.loaded, self.assembly, self.run, self.prompts = loaded, assembly, run, prompts
        settings, context = loaded.settings, assembly.context
        self.settings, self.context = settings, context
        self.switches = load_if_there("serving.access.kill_switches")
        self.stops: Any = SimpleNamespace(demand=lambda *_: None)  # nothing is stopped where the switches were deleted
        if self.switches:
            self.stops = self.switches.Stops(context.data_dir / "stops.json", context.clock)
            self.stops.reserve()
        manifest_id = run.manifest_id if run else ""
        self.erasures = Erasures.of(context.data_dir)
        self.policy = Policy(settings.orchestration.policy)
        self.watching = open_observability(settings.observability, assembly, manifest_id=manifest_id)
        self.models = self._open_models()
        self.chat_name = "/".join(identity(self.models.chat))
        self.tenant_chat_names = {name: "/".join(identity(chat)) for name, chat in self.models.tenants.items()}
        self.retrieval = self._open_retrieval()
        self.serving = self._open_serving()
        self.acting = open_orchestration(
            settings.orchestration,
            assembly,
            stops=self.stops,
            model=self.chat_name,
            tenant_models=self.tenant_chat_names,
            manifest_id=manifest_id,
        )
        self.parts = self._agent_parts()
        self.agent = open_agent(settings.orchestration, assembly, self.parts, self.models.tenants, self.models.cheaper)

    def _open_models(self) -> Models:
        """Open the models. One that is stopped, or not allowed by the policy, is not called."""
        from models.build import open_models
        from observability.telemetry.instrument import TracedEmbedder, TracedJudge, TracedReranker

        judging = load_if_there("orchestration.run.judging_chat")

        def demand_model(name: str) -> None:
            self.stops.demand("model", name)
            self.policy.demand_model(name)

        return open_models(
            self.settings.models,
            self.assembly,
            demand=demand_model,
            demand_one_of=self.policy.demand_one_of,
            watch_embedder=TracedEmbedder,
            watch_reranker=TracedReranker,
            pay_judge=lambda chat, tenants: judging.JudgingChatModel(inner=chat, tenants=tenants) if judging else chat,
            watch_judge=TracedJudge if is_there("retrieval.grounding.evidence") else None,
        )

    def _open_retrieval(self) -> Retrieval:
        from retrieval.build import open_retrieval, ray_workers

        settings, models = self.settings, self.models
        return open_retrieval(
            settings.retrieval,
            self.assembly,
            embedder=models.embedder,
            query_embedder=models.query_embedder,
            encoder=models.encoder,
            encoder_part=settings.models.embedder.use,
            reranker=models.reranker,
            judge=models.judge,
            workers=ray_workers(
                settings.foundation.cluster, settings.models, settings.retrieval, settings.foundation.seed
            ),
            refused=self.context.data_dir / "refused",
        )

    def _open_serving(self) -> Serving:
        from serving.build import open_serving

        return open_serving(
            self.settings.serving,
            self.assembly,
            budget=self.settings.orchestration.budget,
            ledger=self.retrieval.ledger,
            embedder=self.models.query_embedder,
            policy=self.policy,
            writer=f"{self.chat_name} {self.tenant_chat_names} {self.run and self.run.weights} {self.prompts.labels()}",
            erasures=self.erasures,
        )

    def _agent_parts(self) -> AgentParts:
        from observability.telemetry.instrument import TracedRetriever
        from orchestration.contract import AgentParts
        from serving.build import QUOTAS

        settings, models, retrieval, acting = self.settings, self.models, self.retrieval, self.acting
        online = load_if_there("observability.evaluation.online")
        return AgentParts(
            **vars(self.context),
            chat=models.chat,
            embedder=models.query_embedder,
            retriever=TracedRetriever(
                retrieval.retriever, source=f"{settings.retrieval.ledger.use}+{settings.retrieval.vectors.use}"
            ),
            ledger=retrieval.ledger,
            grounding=retrieval.grounding,
            executor=acting.executor,
            checkpoints=acting.checkpoints,
            prices=models.prices,
            meter=self.watching.costs,
            spending=load_removable(QUOTAS).QuotaSpending(acting.spending, self.serving.quotas)
            if self.serving.quotas
            else acting.spending,
            settings=settings.orchestration,
            prompts=self.prompts,
            scorer=online
            and online.OnlineScorer(retrieval.grounding, models.query_embedder, settings.observability.scored_share),
            facts=acting.facts,
            memory=self.serving.answers,
        )

    def system(self) -> System:
        """Return all parts. The agent is wrapped, innermost first: kill switches, audit, counting, quotas."""
        from observability.telemetry.instrument import CountedAgent
        from serving.build import QUOTAS

        objects, audit = map(load_if_there, ("orchestration.answers.objects", "orchestration.effects.audit"))
        agent = self.switches.StoppableAgent(self.agent, self.stops) if self.switches else self.agent
        agent = CountedAgent(audit.AuditedAgent(agent, self.acting.audit) if audit else agent)
        if self.serving.quotas:
            agent = load_removable(QUOTAS).QuotaAgent(agent, self.serving.quotas)
        opened = (self.watching, self.models, self.retrieval, self.acting, self.serving)
        parts = {name: part for layer in opened for name, part in vars(layer).items()} | {
            "settings": self.settings,
            "origins": dict(self.loaded.origins),
            "manifest": self.run,
            "context": self.context,
            "retriever": self.parts.retriever,
            "stops": self.stops,
            "policy": self.policy,
            "parts": self.parts,
            "agent": agent,
            "objects": objects and objects.Objects(self.parts, self.stops, self.acting.audit, self.models.tenants),
            "erasures": self.erasures,
        }
        return System(**{field.name: parts[field.name] for field in fields(System)})


def _hash_weights_while_importing(settings: Settings, data: Path) -> Mapping[str, str]:
    """Return the digests of the weights. Hashing 190 MB takes as long as the imports, so both run at once."""
    weights = load_if_there("models.weights")
    with ThreadPoolExecutor(1, thread_name_prefix="hash-weights") as hashing:
        if weights:
            digests = hashing.submit(weights.digests, weights.named_in(settings.models.parts), data_dir=data)
        for layer in ("models", "retrieval", "orchestration", "observability", "serving"):
            import_module(f"{layer}.build")
        return digests.result() if weights else {}


def _describe_run(
    settings: Settings, weights: Mapping[str, str], corpus: Path | None, context: Context, prompts: Prompts
) -> Any:
    """Build the run manifest, and store it for `make drift`; `None` where its file was deleted. A failure to store it is only logged."""
    manifest = load_if_there("foundation.machine.manifest")
    if manifest is None:
        return None
    digest = manifest.digest_of_files([corpus]) if corpus else None
    run = manifest.build(settings, weights=weights, corpus=digest, clock=context.clock, prompts=prompts.labels())
    try:
        manifest.keep(run, settings, settings.foundation.data_dir / manifest.FOLDER)
    except OSError as error:
        logger.warning("make drift will not know what changed with this run: %s", error)
    return run


def _count_stores(retrieval: Retrieval, acting: Orchestration) -> None:
    """Register gauges for `/metrics`: documents, chunks, waiting approvals, shares of the day's budget."""
    from observability.telemetry import metrics

    watch = metrics.domain().watch
    watch(names.DOCUMENTS, retrieval.ledger.document_count)
    watch(names.CHUNKS, retrieval.vectors.count)
    watch(names.APPROVALS_WAITING, acting.approvals.waiting)
    watch(names.APPROVALS_UNANNOUNCED, acting.announcer.failed)
    watch(names.BUDGET_USED_SHARE, acting.spending.system_share, whose="system")
    watch(names.BUDGET_USED_SHARE, acting.spending.fullest_share, whose="tenant")

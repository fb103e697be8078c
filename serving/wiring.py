"""The composition root: the only place where parts meet. It reads in layer order, a line a part, and closes in reverse.

    with wiring.open_system(load(Path("stack.toml"))) as system:
        ...

To replace a part, change its line in stack.toml; to replace how parts are joined, change this file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import StoreInUse
from foundation.settings import Loaded, Part, made_data_dir

if TYPE_CHECKING:  # the real imports stand in `open_system`, so that `--help` need not wait for them
    from langchain_core.embeddings import Embeddings
    from langchain_core.language_models import BaseChatModel
    from langchain_core.tools import BaseTool

    from foundation.components import Context
    from foundation.kill_switches import Stops
    from foundation.machine.manifest import Manifest
    from foundation.settings import Settings
    from foundation.stores.erasures import Erasures
    from models.contract import PriceSource, Reranker
    from observability.stores.costs import CostLedger
    from observability.stores.outcomes import OutcomeStore
    from observability.stores.spans import SpanStore
    from observability.telemetry.setup import Telemetry
    from orchestration.answers.objects import Objects
    from orchestration.contract import Agent, AgentParts
    from orchestration.effects.approvals import SqliteApprovals
    from orchestration.effects.audit import SqliteAudit
    from orchestration.effects.executor import Executor
    from orchestration.effects.policy import Policy
    from orchestration.memory.facts import SqliteFacts
    from retrieval.contract import Chunker, DocumentLedger, Retriever, VectorIndex
    from retrieval.grounding.evidence import Grounding
    from retrieval.ingest.pipeline import Ingestor
    from serving.access.quotas import Quotas
    from serving.contract import Cache
    from serving.http.idempotency import IdempotencyStore
    from serving.jobs.queue import JobStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class System:
    """Everything that runs, by the name of its port."""

    settings: Settings
    origins: dict[str, str]
    manifest: Manifest
    context: Context
    telemetry: Telemetry
    spans: SpanStore
    costs: CostLedger
    outcomes: OutcomeStore
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
    facts: SqliteFacts
    audit: SqliteAudit
    stops: Stops
    policy: Policy
    executor: Executor
    parts: AgentParts
    """What the agent is built from, for who builds another one."""
    agent: Agent
    objects: Objects
    cache: Cache
    quotas: Quotas
    idempotency: IdempotencyStore
    jobs: JobStore
    erasures: Erasures


@contextmanager
def _told_where_to_ask(settings: Settings) -> Iterator[None]:
    """A server that holds the index can be asked in place of what it keeps out."""
    try:
        yield
    except StoreInUse as error:
        http = settings.serving.http
        raise StoreInUse(f"{error} By this configuration the page is at http://{http.host}:{http.port}.") from error


@contextmanager
def open_system(loaded: Loaded, *, corpus: Path | None = None) -> Iterator[System]:  # noqa: PLR0915 - a list, read from top to bottom
    """Build every part, in layer order, and close them in reverse.

    `corpus` is a folder whose digest the run manifest should carry.

    Raises:
        ConfigurationError: a part cannot be built, the weights are not the pinned ones, another process owns the
            store, or the index was written with another embedder or chunker.
    """
    from models import weights

    settings = loaded.settings
    data = made_data_dir(settings)
    hashing = ThreadPoolExecutor(1, thread_name_prefix="hash-weights")
    named = weights.named_in(settings.models.parts)
    digests = hashing.submit(weights.digests, named, data_dir=data)  # 190 MB, beside the imports
    hashing.shutdown(wait=False)

    from langchain_core.embeddings import Embeddings
    from langchain_core.language_models import BaseChatModel

    from foundation import components
    from foundation.components import Context
    from foundation.kill_switches import Stops
    from foundation.machine import manifest
    from foundation.stores.erasures import Erasures
    from models.contract import PriceSource, RerankerParts
    from models.encoders.remembering import RememberingEmbedder
    from models.pricing import identity
    from models.reranking import chosen_reranker
    from models.resilience.retry import resilient
    from observability.contract import SpanExporter
    from observability.evaluation.online import OnlineScorer
    from observability.stores.costs import CostLedger
    from observability.stores.outcomes import OutcomeStore
    from observability.stores.spans import SpanStore
    from observability.telemetry import metrics, setup
    from observability.telemetry.instrument import counted_agent, traced_embedder, traced_reranker, traced_retriever
    from orchestration.answers.objects import Objects
    from orchestration.contract import Agent, AgentParts
    from orchestration.effects.approvals import SqliteApprovals
    from orchestration.effects.audit import AuditedAgent, SqliteAudit
    from orchestration.effects.effect_log import SqliteEffects
    from orchestration.effects.executor import Executor
    from orchestration.effects.policy import Policy
    from orchestration.memory.facts import FILE, SqliteFacts
    from orchestration.run.spending import SqliteSpending
    from orchestration.run.stoppable import StoppableAgent
    from retrieval.contract import Chunker, DocumentLedger, VectorIndex
    from retrieval.grounding.evidence import Grounding
    from retrieval.index.maintenance import SameParts, fingerprint_of, open_index
    from retrieval.ingest.pipeline import Ingestor
    from retrieval.ingest.quarantine import RefusedFiles
    from retrieval.ingest.ray_workers import RayWorkers
    from retrieval.ingest.sandbox import ParserPool
    from retrieval.search.hybrid import HybridRetriever
    from serving.access.quotas import QuotaAgent, Quotas, QuotaSpending
    from serving.answer_cache import AnswerCache
    from serving.contract import Cache
    from serving.http.idempotency import IdempotencyStore
    from serving.jobs.queue import JobStore

    (data / "reports").mkdir(exist_ok=True)
    context = Context(
        data_dir=data,
        seed=settings.foundation.seed,
        threads=settings.foundation.threads,
        machine_usd_per_hour=settings.models.machine_usd_per_hour,
    )

    with ExitStack() as opened:

        def keep(built: Any) -> Any:
            if hasattr(built, "close"):
                opened.callback(built.close)
            return built

        def part(section: str, chosen: Part, expected: type | None = None) -> Any:
            return keep(components.load(section, chosen, context, expected=expected))

        # foundation
        stops = Stops(data / "stops.json", context.clock)
        stops.reserve()
        erasures = Erasures.of(data)
        digest = manifest.digest_of_files([corpus]) if corpus else None
        run = manifest.build(settings, weights=digests.result(), corpus=digest, clock=context.clock)
        _keep(run, settings)

        # observability comes up early, because it watches the others come up
        exporters = [
            components.load("observability.exporters", chosen, context, expected=SpanExporter)
            for chosen in settings.observability.exporters
        ]
        telemetry_ = keep(setup.start(settings.observability, exporters, manifest_id=run.manifest_id))
        spans = keep(SpanStore(data / "spans.sqlite"))
        costs = keep(CostLedger(data / "costs.sqlite", context.clock))
        outcomes = keep(OutcomeStore(data / "outcomes.sqlite"))

        # models; what all tenants share must be allowed to each, and one of the chat models
        policy = Policy(settings.orchestration.policy)
        for shared in (settings.models.embedder, settings.models.reranker):
            policy.demand_one_of([str(shared.options.get("model", shared.use))])
        primary = part("models.chat", settings.models.chat, BaseChatModel)
        fallbacks = [part("models.chat", chosen, BaseChatModel) for chosen in settings.models.fallbacks]
        policy.demand_one_of([identity(model)[1] for model in (primary, *fallbacks)])

        def demand(name: str) -> None:
            stops.demand("model", name)
            policy.demand_model(name)

        chat = resilient(primary, fallbacks, settings.models.resilience, context.clock, demand)
        encoder = part("models.embedder", settings.models.embedder, Embeddings)
        embedder = traced_embedder(encoder)
        asked = RememberingEmbedder(embedder)  # what answering embeds; an ingest goes to the embedder itself
        to_rerank = RerankerParts(**vars(context), embedder=asked)
        reranker = chosen_reranker(keep(components.load("models.reranker", settings.models.reranker, to_rerank)))
        if reranker:
            reranker = traced_reranker(reranker)
        prices = part("models.prices", settings.models.prices, PriceSource)

        # retrieval
        ledger = part("retrieval.ledger", settings.retrieval.ledger, DocumentLedger)
        with _told_where_to_ask(settings):
            vectors = part("retrieval.vectors", settings.retrieval.vectors, VectorIndex)
        chunker = part("retrieval.chunker", settings.retrieval.chunker, Chunker)
        parsers = keep(ParserPool(settings.retrieval.parsing))
        fingerprint = fingerprint_of(settings.models.embedder.use, encoder, chunker)  # a start is no request: no trace
        open_index(ledger, vectors, fingerprint)
        same_parts = SameParts(ledger, fingerprint)
        ingestor = keep(
            Ingestor(
                ledger=ledger,
                vectors=vectors,
                embedder=embedder,
                chunker=chunker,
                parse=parsers.parse,
                clock=context.clock,
                keep_replaced=settings.retrieval.keep_replaced,
                refused=RefusedFiles(data / "refused", max_mb=settings.retrieval.parsing.keep_refused_mb),
                same_parts=same_parts,
                workers=keep(RayWorkers(settings, fingerprint)) if settings.foundation.cluster.use == "ray" else None,
            )
        )
        retriever = traced_retriever(
            HybridRetriever(
                ledger=ledger,
                vectors=vectors,
                embedder=asked,
                reranker=reranker,
                ranking=settings.retrieval.ranking,
                clock=context.clock,
                same_parts=same_parts,
            ),
            source=f"{settings.retrieval.ledger.use}+{settings.retrieval.vectors.use}",
        )
        grounding = Grounding(asked, settings.retrieval.grounding)

        # orchestration; the cache of the layer above, because an agent may look answers up in it
        cache = part("serving.cache", settings.serving.cache, Cache)
        quotas = Quotas(settings.serving.quotas, settings.orchestration.budget, cache)
        idempotency = keep(IdempotencyStore(data / "idempotency.sqlite", context.clock))
        jobs = keep(JobStore(data / "jobs", context.clock, settings.serving.jobs))
        memory = AnswerCache(
            settings.serving.answer_cache,
            cache,
            ledger,
            asked,
            clock=context.clock,
            policy=policy,
            writer=f"{'/'.join(identity(chat))} {dict(run.weights)}",
            erasures=erasures,
        )
        tools = tuple(
            tool
            for chosen in settings.orchestration.tools
            for tool in keep(components.load("orchestration.tools", chosen, context))
        )
        facts = keep(SqliteFacts(data / FILE, context.clock))
        approvals = keep(SqliteApprovals(data / "approvals.sqlite", context.clock))
        audit = keep(
            SqliteAudit(
                data / "audit.sqlite", context.clock, model="/".join(identity(chat)), manifest_id=run.manifest_id
            )
        )
        executor = Executor(
            tools=tools,
            policy=settings.orchestration.policy,
            approvals=approvals,
            effects=keep(SqliteEffects(data / "effects.sqlite")),
            audit=audit,
            clock=context.clock,
            stops=stops,
        )
        spending = keep(SqliteSpending(data / "spending.sqlite", settings.orchestration.budget, context.clock))
        parts = AgentParts(
            data_dir=data,
            clock=context.clock,
            seed=context.seed,
            threads=context.threads,
            machine_usd_per_hour=context.machine_usd_per_hour,
            chat=chat,
            embedder=asked,
            retriever=retriever,
            grounding=grounding,
            executor=executor,
            checkpoints=part("orchestration.checkpoints", settings.orchestration.checkpoints),
            prices=prices,
            meter=costs,
            spending=QuotaSpending(spending, quotas),
            settings=settings.orchestration,
            scorer=OnlineScorer(grounding, asked, settings.observability.scored_share),
            facts=facts,
            memory=memory if settings.serving.answer_cache.mode != "off" else None,
        )
        agent = keep(components.load("orchestration.agent", settings.orchestration.agent, parts, expected=Agent))
        metrics.domain().watch(
            documents=ledger.document_count, chunks=vectors.count, approvals_waiting=approvals.waiting
        )
        metrics.domain().budget({"system": spending.system_share, "tenant": spending.fullest_share})
        yield System(
            settings=settings,
            origins=dict(loaded.origins),
            manifest=run,
            context=context,
            telemetry=telemetry_,
            spans=spans,
            costs=costs,
            outcomes=outcomes,
            chat=chat,
            embedder=embedder,
            reranker=reranker,
            prices=prices,
            chunker=chunker,
            ledger=ledger,
            vectors=vectors,
            ingestor=ingestor,
            retriever=retriever,
            grounding=grounding,
            tools=tools,
            approvals=approvals,
            facts=facts,
            audit=audit,
            stops=stops,
            policy=policy,
            executor=executor,
            parts=parts,
            agent=QuotaAgent(counted_agent(AuditedAgent(StoppableAgent(agent, stops), audit)), quotas),
            objects=Objects(parts, stops, audit),
            cache=cache,
            quotas=quotas,
            idempotency=idempotency,
            jobs=jobs,
            erasures=erasures,
        )


def _keep(run: Manifest, settings: Settings) -> None:
    """What stands behind the manifest's id, for `make drift`. Nothing else depends on it, so nothing stops without it."""
    from foundation.machine import manifest

    try:
        manifest.keep(run, settings, settings.foundation.data_dir / manifest.FOLDER)
    except OSError as error:
        logger.warning("make drift will not know what changed with this run: %s", error)

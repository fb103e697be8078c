"""Tracing put around parts, so that no part has to do it.

Chat models, LangGraph and tools are watched by OpenTelemetry's LangChain instrumentor (`telemetry`). LangChain has no
callbacks for embedders, and rerankers, judges and retrievers are our own ports; they get these delegating wrappers, whose spans
and metrics follow the conventions through OpenTelemetry's GenAI utility. The composition root applies them. Whatever
else an inner part offers is reached through the wrapper unchanged.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from datetime import date
from typing import Any

from langchain_core.embeddings import Embeddings
from opentelemetry.util.genai.handler import TelemetryHandler

from foundation import names, tracing
from foundation.types import Principal, Scope
from models.contract import EntailmentJudge, Reranker
from models.embedding import name_of
from observability.telemetry import metrics, setup
from orchestration.contract import Agent, AnswerRequest, Decision, Event
from retrieval.contract import Hit, Retriever
from retrieval.filters import Where


def traced_embedder(embedder: Embeddings) -> Embeddings:
    """A span `embeddings MODEL` for each call, with the number of texts."""
    if callable(getattr(embedder, "embed_tokens", None)):
        return TracedTokenEmbedder(embedder)
    wrapper = TracedArrayEmbedder if callable(getattr(embedder, "embed_array", None)) else TracedEmbedder
    return wrapper(embedder)


def traced_reranker(reranker: Reranker) -> Reranker:
    """A span `rerank MODEL` for each call, with the number of texts."""
    return TracedReranker(reranker)


def traced_judge(judge: EntailmentJudge) -> EntailmentJudge:
    """A span `entailment MODEL` for each call, with the number of pairs."""
    return TracedJudge(judge)


def traced_retriever(retriever: Retriever, *, source: str = "") -> Retriever:
    """A span `retrieval SOURCE` for each call, with how many hits were asked for and how many came.

    `source` names the stores that are searched, e.g. "sqlite+chroma", so that a trace tells a swapped one.
    """
    return TracedRetriever(retriever, source)


def counted_agent(agent: Agent) -> Agent:
    """Counts every answer and its seconds in the process's metrics."""
    return CountedAgent(agent)


class Around:
    """Holds the inner part and passes on what a wrapper does not define."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # not set yet while the wrapper is being copied
            raise AttributeError(name)
        return getattr(self.inner, name)


class TracedEmbedder(Around, Embeddings):
    """An `Embeddings` whose calls are spans."""

    def __init__(self, inner: Embeddings) -> None:
        super().__init__(inner)
        self._handler = _handler()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        with self._span(len(texts)):
            return self.inner.embed_documents(texts)  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        with self._span(1):
            return self.inner.embed_query(text)  # type: ignore[no-any-return]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        with self._span(len(texts)):
            return await self.inner.aembed_documents(texts)  # type: ignore[no-any-return]

    async def aembed_query(self, text: str) -> list[float]:
        with self._span(1):
            return await self.inner.aembed_query(text)  # type: ignore[no-any-return]

    @contextmanager
    def _span(self, texts: int) -> Iterator[None]:
        with self._handler.embedding(_provider_of(self.inner), request_model=name_of(self.inner)) as call:
            call.attributes |= {names.LAYER: "models", names.TEXTS: texts}
            yield


class TracedArrayEmbedder(TracedEmbedder):
    """For an embedder that can hand out an array without a list of Python floats for each text."""

    def embed_array(self, texts: list[str]) -> Any:
        with self._span(len(texts)):
            return self.inner.embed_array(texts)


class TracedTokenEmbedder(TracedArrayEmbedder):
    """For an embedder that also gives a vector a token."""

    def embed_tokens(self, texts: list[str]) -> Any:
        with self._span(len(texts)):
            return self.inner.embed_tokens(texts)


class TracedReranker(Around):
    """A `Reranker` whose calls are spans. The GenAI utility knows no reranking yet."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        model = name_of(self.inner)
        attributes: dict[str, tracing.AttributeValue] = {names.REQUEST_MODEL: model, names.TEXTS: len(texts)}
        with tracing.span(names.RERANK, model, layer="models", attributes=attributes):
            return self.inner.score(query, texts)  # type: ignore[no-any-return]


class TracedJudge(Around):
    """An `EntailmentJudge` whose calls are spans."""

    def support(self, pairs: Sequence[tuple[str, str]]) -> Sequence[float]:
        model = name_of(self.inner)
        attributes: dict[str, tracing.AttributeValue] = {names.REQUEST_MODEL: model, names.TEXTS: len(pairs)}
        with tracing.span(names.ENTAILMENT, model, layer="models", attributes=attributes):
            return self.inner.support(pairs)  # type: ignore[no-any-return]


class TracedRetriever(Around):
    """A `Retriever` whose calls are spans."""

    def __init__(self, inner: Retriever, source: str) -> None:
        super().__init__(inner)
        self._handler = _handler()
        self._source = source or None

    def retrieve(
        self,
        query: str,
        scope: Scope,
        *,
        limit: int | None = None,
        as_of: date | None = None,
        per_document: int = 1,
        where: Where | None = None,
    ) -> list[Hit]:
        with self._handler.retrieval(data_source_id=self._source) as call:
            call.attributes[names.LAYER] = "retrieval"
            call.top_k = limit
            hits: list[Hit] = self.inner.retrieve(
                query, scope, limit=limit, as_of=as_of, per_document=per_document, where=where
            )
            call.attributes[names.HITS] = len(hits)
            if hits:
                call.attributes[names.TOP_SCORE] = max(hit.score for hit in hits)
            return hits


class CountedAgent(Around):
    """An `Agent` whose answers are counted."""

    async def stream(self, request: AnswerRequest, principal: Principal) -> AsyncIterator[Event]:
        async with aclosing(self.inner.stream(request, principal)) as events:
            async for event in events:
                yield _count_answer(event)

    async def resume(self, decision: Decision, principal: Principal) -> AsyncIterator[Event]:
        async with aclosing(self.inner.resume(decision, principal)) as events:
            async for event in events:
                yield _count_answer(event)


def _count_answer(event: Event) -> Event:
    if event.answer is not None:
        metrics.domain().count_answer(event.answer)
    return event


def _handler() -> TelemetryHandler:
    return TelemetryHandler(
        tracer_provider=setup.tracers(),
        meter_provider=setup.genai_meters(),
        instrumentation_scope_name=names.SERVICE,
    )


def _provider_of(part: Any) -> str:
    provider = getattr(part, "provider", None)
    return provider if isinstance(provider, str) else type(part).__module__.rpartition(".")[2]

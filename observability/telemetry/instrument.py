"""Wrappers that trace parts, so that no part has to. What they do not define is passed on to the inner part."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

from langchain_core.embeddings import Embeddings
from opentelemetry.util.genai.handler import TelemetryHandler

from foundation import names, tracing
from foundation.types import Principal, Scope, Usage
from models.contract import Call, requests_made
from models.embedding import PROBE_TEXTS, name_of, on_behalf_of
from observability.telemetry import metrics, setup
from orchestration.events import Event
from orchestration.run.run import run_at_work
from orchestration.run.wrapping import AgentWrapper, Around
from retrieval.contract import Retriever
from retrieval.documents import Hit


class TracedEmbedder(Around, Embeddings):
    """An `Embeddings` with a span `embeddings MODEL` per call, which the current run pays for, or outside of one `pay`."""

    def __init__(self, inner: Embeddings, pay: Callable[[Call], object] = lambda _: None) -> None:
        super().__init__(inner)
        self._handler, self._pay = _handler(), pay

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        if name in ("embed_array", "embed_tokens"):  # optional methods: only some embedders have them
            return lambda texts: self._embed(found, texts)
        return found

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._embed(self.inner.embed_documents, texts)  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        with self._span(1), self._pay_at_end():
            return self.inner.embed_query(text)  # type: ignore[no-any-return]

    def _embed(self, embed: Callable[[list[str]], Any], texts: list[str]) -> Any:
        # what a start asks belongs to no request that could be looked up
        with nullcontext() if tuple(texts) == PROBE_TEXTS else self._span(len(texts)), self._pay_at_end():
            return embed(texts)

    @contextmanager
    def _span(self, texts: int) -> Iterator[None]:
        provider = getattr(self.inner, "provider", None)
        if not isinstance(provider, str):
            provider = type(self.inner).__module__.rpartition(".")[2]
        with self._handler.embedding(provider, request_model=name_of(self.inner)) as call:
            call.attributes |= {names.LAYER: "models", names.TEXTS: texts}
            yield

    @contextmanager
    def _pay_at_end(self) -> Iterator[None]:
        requests: list[Call] = []
        token = requests_made.set(requests)
        try:
            yield
        finally:
            requests_made.reset(token)
            if requests:
                usage = sum((each.usage for each in requests), Usage())
                request = replace(requests[0], usage=usage, seconds=sum(each.seconds for each in requests))
                run = run_at_work.get()
                (run.bill.pay_embedding if run else self._pay)(request)


class TracedReranker(Around):
    """A `Reranker` with a span `rerank MODEL` per call, with the number of texts."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        with _scoring(names.RERANK, self.inner, len(texts)):
            return self.inner.score(query, texts)  # type: ignore[no-any-return]


class TracedJudge(Around):
    """An `EntailmentJudge` with a span `entailment MODEL` per call, with the number of pairs."""

    def support(self, pairs: Sequence[tuple[str, str]]) -> Sequence[float]:
        with _scoring(names.ENTAILMENT, self.inner, len(pairs)):
            return self.inner.support(pairs)  # type: ignore[no-any-return]


class TracedRetriever(Around):
    """A `Retriever` with a span `retrieval SOURCE` per call, with the limit, the number of hits and the top score.

    `source` names the stores that are searched, such as "sqlite+exact", so that traces show a swap.
    """

    def __init__(self, inner: Retriever, source: str = "") -> None:
        super().__init__(inner)
        self._handler = _handler()
        self._source = source or None

    def retrieve(self, query: str, scope: Scope, *, limit: int | None = None, **conditions: Any) -> list[Hit]:
        with self._handler.retrieval(data_source_id=self._source) as call, on_behalf_of(scope.tenant):
            call.attributes[names.LAYER] = "retrieval"
            call.top_k = limit
            hits: list[Hit] = self.inner.retrieve(query, scope, limit=limit, **conditions)
            call.attributes[names.HITS] = len(hits)
            if hits:
                call.attributes[names.TOP_SCORE] = max(hit.score for hit in hits)
            return hits


class CountedAgent(AgentWrapper):
    """An `Agent` whose answers and their seconds are counted in the process's metrics."""

    async def see(self, event: Event, principal: Principal) -> None:
        del principal
        if event.answer is not None:
            metrics.domain().count_answer(event.answer)


@contextmanager
def _scoring(operation: str, part: Any, texts: int) -> Iterator[None]:
    # a span of our own: OpenTelemetry's GenAI utility has no reranking or entailment yet
    attributes: dict[str, tracing.AttributeValue] = {names.REQUEST_MODEL: name_of(part), names.TEXTS: texts}
    with tracing.span(operation, name_of(part), layer="models", attributes=attributes):
        yield


def _handler() -> TelemetryHandler:
    return TelemetryHandler(
        tracer_provider=setup.tracers(), meter_provider=metrics.OneMeter(), instrumentation_scope_name=names.SERVICE
    )

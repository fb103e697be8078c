"""Parts are traced and priced from outside, without a line in their files."""

from __future__ import annotations

import copy
from datetime import date

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from foundation import names
from foundation.types import Principal, Scope
from models.contract import Reranker
from models.embedding import embed
from observability.settings import ObservabilitySettings
from observability.telemetry import setup
from observability.telemetry.instrument import CountedAgent, TracedEmbedder, TracedReranker, TracedRetriever
from orchestration.events import Answer, Event
from orchestration.requests import AnswerRequest
from retrieval.contract import Retriever

ASKER = Principal("s", "acme")


class ArrayEmbedder(Embeddings):
    model_name = "array-1"
    extra = "reached"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[1.0, 0.0] for _ in texts]

    def embed_query(self, text: str) -> list[float]:
        if text == "fail":
            raise ValueError("the query was fail")
        return [1.0, 0.0]

    def embed_array(self, texts: list[str]) -> np.ndarray:
        return np.array(self.embed_documents(texts), dtype=np.float32)


class Reversed:
    model = "reverse-1"

    def score(self, query, texts):
        return [float(-position) for position, _ in enumerate(texts)]


class NoHits:
    asked: tuple = ()

    def retrieve(self, query, scope, *, limit=None, as_of=None, per_document=1, where=None):
        self.asked = (query, scope, limit, as_of)
        return []


class OneAnswer:
    closed = False

    async def stream(self, request, principal):
        try:
            yield Event(kind="token", token="a")
            yield Event(kind="answer", answer=answer())
        finally:
            self.closed = True

    async def resume(self, decision, principal):
        yield Event(kind="answer", answer=answer())


def answer() -> Answer:
    return Answer(
        answer_id="a", thread_id="t", question="q", status="abstained", stop_reason="insufficient_evidence", text="no",
        seconds=0.2,
    )  # fmt: skip


@pytest.fixture
def kept():
    exporter = InMemorySpanExporter()
    with setup.start(ObservabilitySettings(), [exporter], manifest_id="m") as running:

        def flushed():
            running.flush()
            return exporter.get_finished_spans()

        yield flushed


def test_embedding_is_a_span_with_model_layer_and_number_of_texts(kept):
    embedder = TracedEmbedder(ArrayEmbedder())
    embedder.embed_documents(["a", "b"])
    embedder.embed_query("a")
    first, second = kept()
    assert first.name == "embeddings array-1"
    assert first.attributes[names.LAYER] == "models"
    assert (first.attributes[names.TEXTS], second.attributes[names.TEXTS]) == (2, 1)


async def test_asynchronous_embedding_is_a_span_too(kept):
    embedder = TracedEmbedder(ArrayEmbedder())
    await embedder.aembed_documents(["a", "b"])
    await embedder.aembed_query("a")
    assert [span.attributes[names.TEXTS] for span in kept()] == [2, 1]


def test_the_array_door_is_there_only_where_the_inner_part_has_it(kept):
    assert embed(TracedEmbedder(ArrayEmbedder()), ["a", "b"]).shape == (2, 2)
    assert [span.attributes[names.TEXTS] for span in kept()] == [2]
    assert not hasattr(TracedEmbedder(DeterministicFakeEmbedding(size=3)), "embed_array")


def test_embedding_token_by_token_is_a_span_too(kept):
    class TokenByToken(ArrayEmbedder):
        def embed_tokens(self, texts):
            return [f"tokens of {text}" for text in texts]

    assert TracedEmbedder(TokenByToken()).embed_tokens(["a", "b"]) == ["tokens of a", "tokens of b"]
    assert [span.attributes[names.TEXTS] for span in kept()] == [2]
    assert not hasattr(TracedEmbedder(ArrayEmbedder()), "embed_tokens")


def test_a_traced_embedder_is_an_embedder_and_passes_everything_else_on():
    embedder = TracedEmbedder(ArrayEmbedder())
    assert isinstance(embedder, Embeddings)
    assert (embedder.model_name, embedder.extra) == ("array-1", "reached")
    assert copy.copy(embedder).extra == "reached"
    with pytest.raises(AttributeError):
        _ = embedder.absent


def test_a_failed_embedding_is_a_failed_span_without_the_text_of_the_error(kept):
    with pytest.raises(ValueError, match="the query was fail"):
        TracedEmbedder(ArrayEmbedder()).embed_query("fail")
    (span,) = kept()
    assert span.attributes[names.ERROR_TYPE] == "ValueError"
    assert "the query" not in span.to_json()


def test_reranking_is_a_span_with_model_and_number_of_texts(kept):
    reranker = TracedReranker(Reversed())
    assert isinstance(reranker, Reranker)
    assert reranker.score("q", ["a", "b"]) == [0.0, -1.0]
    (span,) = kept()
    assert (span.name, span.attributes[names.LAYER], span.attributes[names.TEXTS]) == ("rerank reverse-1", "models", 2)


def test_retrieval_is_a_span_with_what_was_asked_for_and_what_came(kept):
    inner = NoHits()
    retriever = TracedRetriever(inner)
    assert isinstance(retriever, Retriever)
    assert retriever.retrieve("secret words", Scope("acme"), limit=7, as_of=date(2026, 1, 1)) == []
    (span,) = kept()
    assert inner.asked == ("secret words", Scope("acme"), 7, date(2026, 1, 1))
    assert (span.attributes[names.LAYER], span.attributes["gen_ai.retrieval.top_k"], span.attributes[names.HITS]) == (
        "retrieval",
        7,
        0,
    )
    assert "secret words" not in span.to_json()


def test_parts_without_a_running_telemetry_work_as_ever():
    assert TracedEmbedder(ArrayEmbedder()).embed_query("a") == [1.0, 0.0]
    assert TracedRetriever(NoHits()).retrieve("q", Scope("acme")) == []


async def test_closing_a_counted_stream_closes_the_inner_one():
    inner = OneAnswer()
    stream = CountedAgent(inner).stream(AnswerRequest(question="q"), ASKER)
    await anext(stream)
    await stream.aclose()
    assert inner.closed

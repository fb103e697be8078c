from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from foundation import names
from foundation.types import Principal, Scope
from models.contract import Reranker
from models.embedding import embed
from observability.settings import ObservabilitySettings
from observability.telemetry import metrics, setup
from observability.telemetry.instrument import CountedAgent, TracedEmbedder, TracedReranker, TracedRetriever
from orchestration.actions import Decision
from orchestration.contract import Agent
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
    assert (span.attributes[names.LAYER], span.attributes[names.RETRIEVAL_TOP_K], span.attributes[names.HITS]) == (
        "retrieval",
        7,
        0,
    )
    assert "secret words" not in span.to_json()


def test_parts_without_a_running_telemetry_work_as_ever():
    assert TracedEmbedder(ArrayEmbedder()).embed_query("a") == [1.0, 0.0]
    assert TracedRetriever(NoHits()).retrieve("q", Scope("acme")) == []


async def test_answers_are_counted_once_each_and_streams_pass_unchanged():
    before = metrics.read_counter(names.ANSWERS, status="abstained", path="none")
    agent = CountedAgent(OneAnswer())
    assert isinstance(agent, Agent)
    assert [event.kind async for event in agent.stream(AnswerRequest(question="q"), ASKER)] == ["token", "answer"]
    assert [event.kind async for event in agent.resume(Decision(approval_id="x", approve=True), ASKER)] == ["answer"]
    assert metrics.read_counter(names.ANSWERS, status="abstained", path="none") == before + 2


def test_an_answer_that_waited_for_a_person_is_counted_once_by_its_end():
    def ended() -> dict[str, float]:
        return {status: metrics.read_counter(names.ANSWERS, status=status, path="none") for status in metrics.ENDED}

    before = ended()
    waiting = Answer(answer_id="a", thread_id="t", question="q", text="", status="waiting", stop_reason="approval")
    for answer in (waiting, waiting.model_copy(update={"status": "answered", "stop_reason": "complete"})):
        metrics.domain().count_answer(answer)
    assert {status: now - before[status] for status, now in ended().items() if now != before[status]} == {"answered": 1}


async def test_closing_a_counted_stream_closes_the_inner_one():
    inner = OneAnswer()
    stream = CountedAgent(inner).stream(AnswerRequest(question="q"), ASKER)
    await anext(stream)
    await stream.aclose()
    assert inner.closed


def test_a_value_that_nobody_expected_is_counted_as_other():
    assert metrics.bound_label("chat", metrics.CHARGE_KINDS) == "chat"
    assert metrics.bound_label(f"made up {datetime.now(UTC)}", metrics.CHARGE_KINDS) == "other"


def points(made: Callable[[metrics.DomainMetrics], object]) -> dict[str, list[Any]]:
    """What is read of domain metrics to which that was done, series by metric."""
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    made(metrics.DomainMetrics(meters.get_meter("test")))
    data = json.loads(reader.get_metrics_data().to_json())
    read = [one for part in data["resource_metrics"] for scope in part["scope_metrics"] for one in scope["metrics"]]
    return {one["name"]: one["data"]["data_points"] for one in read}


def test_levels_are_read_when_the_metrics_are_and_one_that_fails_is_left_out():
    read = points(lambda made: [made.watch(names.CHUNKS, lambda: 3.0), made.watch(names.DOCUMENTS, lambda: 1 / 0)])
    assert [point["value"] for point in read[names.CHUNKS]] == [3.0]
    assert read.keys().isdisjoint({names.DOCUMENTS, names.APPROVALS_WAITING})


def test_a_level_that_nobody_knows_is_an_error():
    with pytest.raises(KeyError):
        points(lambda made: made.watch("sixply.chunk", lambda: 1))


def test_the_time_to_the_first_token_is_of_answers_that_a_model_wrote():
    written = Answer(
        answer_id="a",
        thread_id="t",
        question="q",
        status="answered",
        stop_reason="complete",
        text="x",
        first_token_s=0.3,
    )
    silent = written.model_copy(update={"first_token_s": None})
    (point,) = points(lambda made: [made.count_answer(written), made.count_answer(silent)])[names.FIRST_TOKEN_SECONDS]
    assert (point["count"], point["sum"]) == (1, 0.3)
    assert point["bucket_counts"][point["explicit_bounds"].index(0.5)] == 1

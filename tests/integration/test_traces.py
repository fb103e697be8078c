"""One request is one trace: through a LangGraph graph, threads, generators and the web framework, with nothing said in it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Any, TypedDict

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from foundation import names, tracing
from foundation.components import Context, load
from foundation.settings import Part
from foundation.types import Scope
from observability.reports.layer_bill import bill_table, layer_bill
from observability.reports.trace_tables import trace_table
from observability.settings import ObservabilitySettings
from observability.stores.spans import SpanStore, tree
from observability.telemetry import metrics, setup
from observability.telemetry.instrument import TracedEmbedder, TracedRetriever

CANARY = "canary-77aa"


class DoubleChat(GenericFakeChatModel):
    """Says which model it is, because the instrumentor skips one that does not."""

    def _get_ls_params(self, **given: Any) -> Any:
        return {**super()._get_ls_params(**given), "ls_model_name": "double-1", "ls_provider": "double"}


class State(TypedDict):
    text: str


class NoHits:
    def __init__(self, embedder):
        self.embedder = embedder

    def retrieve(self, query, scope, *, limit=None, as_of=None, per_document=1, where=None):
        self.embedder.embed_query(query)
        return []


@tool
def look_up(order: str) -> str:
    """Look an order up."""
    if order == "missing":
        raise LookupError(f"no order {CANARY}")
    return f"{CANARY} {order}"


def desk(replies: int = 4):
    """A graph with a sync and an async node, a retriever, a model and a tool."""
    chat = DoubleChat(messages=iter([AIMessage(f"{CANARY} says the double")] * replies))
    retriever = TracedRetriever(NoHits(TracedEmbedder(DeterministicFakeEmbedding(size=4))))

    def retrieve(state: State) -> State:
        retriever.retrieve(state["text"], Scope("acme"), limit=3)
        with tracing.span(names.PLAN, layer="orchestration"):
            chat.invoke(state["text"])
        return state

    async def act(state: State) -> State:
        await asyncio.to_thread(chat.invoke, state["text"])
        await look_up.ainvoke({"order": state["text"].split()[-1]})
        return state

    graph = StateGraph(State)
    graph.add_node("retrieve", retrieve)
    graph.add_node("act", act)
    graph.add_edge(START, "retrieve")
    graph.add_edge("retrieve", "act")
    graph.add_edge("act", END)
    return graph.compile(name="desk")


async def asked(graph, text: str) -> str:
    with tracing.span(names.INVOKE_AGENT, "desk", layer="orchestration"):
        await graph.ainvoke({"text": text})
        found = tracing.trace_id()
    assert found
    return found


@pytest.fixture
def running(data_dir):
    exporter = load("observability.exporters", Part(use="sqlite"), Context(data_dir=data_dir))
    with setup.start(ObservabilitySettings(), [exporter], manifest_id="m-1") as started:
        yield started


@pytest.fixture
def spans(data_dir, running):
    def of(trace_id):
        running.flush()
        return SpanStore(data_dir / "spans.sqlite").trace(trace_id)

    return of


async def test_one_answer_is_one_trace_without_an_orphan(spans):
    rows = spans(await asked(desk(), f"{CANARY} QM-1"))
    (root,) = tree(rows)
    assert root.span.name == "invoke_agent desk"
    found = [(depth, span.name) for depth, span in root.walk()]
    for expected in [
        "chat double-1",
        "execute_tool look_up",
        "embeddings DeterministicFakeEmbedding",
        "retrieval",
        "plan",
    ]:
        assert expected in [name for _, name in found]
    assert {row.layer for row in rows} == {"orchestration", "retrieval", "models"}
    assert {row.manifest_id for row in rows} == {"m-1"}


async def test_spans_hang_below_what_started_them(spans):
    rows = {row.name: row for row in spans(await asked(desk(), "x QM-1"))}
    parents = {
        row.name: next((one.name for one in rows.values() if one.span_id == row.parent_id), None)
        for row in rows.values()
    }
    assert parents["embeddings DeterministicFakeEmbedding"] == "retrieval"
    assert parents["retrieval"] == "invoke_workflow desk"
    assert parents["execute_tool look_up"] == "invoke_workflow desk"


async def test_two_answers_side_by_side_are_two_traces(spans):
    graph = desk(8)
    first, second = await asyncio.gather(asked(graph, "x QM-1"), asked(graph, "x QM-2"))
    assert first != second
    assert len(tree(spans(first))) == len(tree(spans(second))) == 1
    assert len(spans(first)) == len(spans(second))


async def test_nothing_that_was_said_is_in_any_span_even_when_a_tool_fails(data_dir, spans, caplog):
    caplog.set_level(logging.CRITICAL)
    with pytest.raises(LookupError, match=CANARY):
        await asked(desk(), f"{CANARY} missing")
    spans(await asked(desk(), f"{CANARY} QM-1"))
    store = SpanStore(data_dir / "spans.sqlite")
    recorded = [row for root in store.recent() for row in store.trace(root.trace_id)]
    assert len(store.recent()) == 2
    assert any(row.status == "error" and row.attribute(names.ERROR_TYPE) for row in recorded)
    for path in data_dir.glob("spans.sqlite*"):
        assert CANARY.encode() not in path.read_bytes()


async def test_a_stream_that_is_left_early_ends_its_span_in_the_same_trace(spans):
    async def tokens():
        with tracing.span(names.CHAT, "double-1", layer="models"):
            for word in ("a", "b", "c"):
                yield word

    with tracing.span(names.INVOKE_AGENT, "desk", layer="orchestration"):
        stream = tokens()
        assert await anext(stream) == "a"
        await stream.aclose()
        trace_id = tracing.trace_id()
    assert trace_id
    assert [row.name for row in spans(trace_id)] == ["invoke_agent desk", "chat double-1"]


async def test_the_bill_of_a_real_trace_adds_up_and_prints(spans, capsys):
    from rich.console import Console

    rows = spans(await asked(desk(), "x QM-1"))
    bill = layer_bill(rows, [])
    assert bill.exact
    assert bill.share("models").ns > 0
    console = Console(width=120)
    console.print(trace_table(rows))
    console.print(bill_table(bill))
    printed = capsys.readouterr().out
    assert "execute_tool look_up" in printed


def test_the_web_framework_opens_the_root_and_it_belongs_to_serving(data_dir, running):
    app = FastAPI(telemetry={"operation_spans": False, "logs": False})
    graph = desk()

    @app.post("/ask/{tenant}")
    async def ask(tenant: str) -> dict[str, str]:
        return {"trace": await asked(graph, f"x {tenant}")}

    answered = TestClient(app).post("/ask/acme?q=" + CANARY).json()
    running.flush()
    rows = SpanStore(data_dir / "spans.sqlite").trace(answered["trace"])
    (root,) = tree(rows)
    assert (root.span.name, root.span.layer) == ("POST /ask/{tenant}", "serving")
    assert len(rows) > 5
    assert all(CANARY not in str(row) for row in rows)
    assert "http_server_request_duration_seconds" in generate_latest(metrics.registry()).decode()


async def test_every_name_of_ours_stands_in_the_list_of_names(spans):
    rows = spans(await asked(desk(), "x QM-1"))
    known = {value for value in vars(names).values() if isinstance(value, str)}
    used = {name for row in rows for name in (row.attributes or {}) if name.startswith(names.SERVICE)}
    assert used
    assert used <= known
    assert {row.name.split()[0] for row in rows} <= known


def test_calls_are_counted_under_their_own_labels_whoever_counts_them(running):
    """The instrumentor counts chats and our wrappers count the rest, in one metric; see `metrics.OneMeter`."""

    def calls() -> Counter[tuple[str, str]]:
        families = text_string_to_metric_families(generate_latest(metrics.registry()).decode())
        samples = [sample for family in families for sample in family.samples]
        mine = [one for one in samples if one.name == "gen_ai_client_operation_duration_seconds_count"]
        counted: Counter[tuple[str, str]] = Counter()
        for one in mine:
            counted[one.labels["gen_ai_operation_name"], one.labels.get("gen_ai_request_model", "")] += int(one.value)
        return counted

    before = calls()
    retriever = TracedRetriever(NoHits(TracedEmbedder(DeterministicFakeEmbedding(size=4))))
    retriever.retrieve("x", Scope("acme"), limit=3)
    DoubleChat(messages=iter([AIMessage("x")])).invoke("x")
    assert calls() - before == {
        ("chat", "double-1"): 1,
        ("embeddings", "DeterministicFakeEmbedding"): 1,
        ("retrieval", ""): 1,
    }

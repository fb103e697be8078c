"""Where the time of a query goes, leg by leg."""

from __future__ import annotations

import itertools
import time

import pytest

from foundation.components import Context, load
from foundation.settings import Part
from foundation.types import Scope
from lab.bench.search_times import AtOnce, search_times
from models.embedding import embed
from retrieval.documents import Chunk, Entry, Parsed, Source
from retrieval.index.maintenance import catch_up
from retrieval.search.hybrid import HybridRetriever
from retrieval.settings import RankingSettings

ACME = Scope("acme")


def retriever_of(parts):
    clock = Context(data_dir=None).clock
    return HybridRetriever(**parts, ranking=RankingSettings(), clock=clock, executor=AtOnce())


class ByLength:
    """A double of a reranker."""

    def score(self, query, texts):
        return [float(len(text)) for text in texts]


@pytest.fixture
def parts(tmp_path):
    context = Context(data_dir=tmp_path)
    uses = {"ledger": ("retrieval.ledger", "sqlite"), "vectors": ("retrieval.vectors", "memory"),
            "embedder": ("models.embedder", "hashing")}  # fmt: skip
    made = {name: load(port, Part(use=use), context) for name, (port, use) in uses.items()} | {"reranker": ByLength()}
    entries = []
    for text in ("red apple", "green plum"):
        source = Source(f"{text}.txt", "acme")
        chunk = Chunk(f"{text}#0", source.document_id, 0, text, 0, len(text))
        entries.append(Entry(source, "hash", Parsed(text, ()), [chunk], embed(made["embedder"], [text])))
    made["ledger"].put(entries)
    catch_up(made["ledger"], made["vectors"])
    yield made
    made["ledger"].close()


def test_every_leg_of_the_real_retriever_is_timed(parts, monkeypatch):
    monkeypatch.setattr(time, "perf_counter", map(float, itertools.count()).__next__)  # every look at it is a tick
    shown = []

    def build(watched):
        retriever = retriever_of(watched)
        find = retriever.retrieve
        retriever.retrieve = lambda *given, **named: shown.append(find(*given, **named)) or shown[-1]
        return retriever

    found = search_times(["apple", "plum"], parts, build, ACME, limit=5)
    assert [len(hits) for hits in shown] == [2, 2, 2, 2]  # once to warm up, once measured
    names = ("embed", "keyword", "vector", "check", "rerank", "fusion", "check_cpu")
    assert found.keys() == {f"{name}_p50_ms" for name in names}
    assert found.pop("check_cpu_p50_ms") >= 0, "a coarse processor clock sees nothing of so little"
    assert all(value > 0 for value in found.values())


def test_a_reranker_that_is_not_there_has_no_time(parts):
    found = search_times(["apple"], parts | {"reranker": None}, retriever_of, ACME, limit=5)
    assert "rerank_p50_ms" not in found
    assert "keyword_p50_ms" in found


def test_what_fails_fails_and_is_not_a_time(parts):
    parts["ledger"].close()
    with pytest.raises(Exception, match="closed"):
        search_times(["apple"], parts, retriever_of, ACME, limit=5)

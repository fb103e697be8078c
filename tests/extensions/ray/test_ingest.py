"""Workers on Ray: what each is told, what is paid for it, and which are refused. No cluster is started."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from pathlib import Path

import pytest

from extensions.ray import ingest as ray_workers
from extensions.ray.settings import RaySettings
from foundation.components import Context, load
from foundation.errors import FingerprintMismatch, MissingDependency
from foundation.settings import Part
from models.embedding import served_tenant
from retrieval.documents import Fingerprint, Source
from retrieval.index.maintenance import fingerprint_of
from retrieval.ingest.parsing import ParseLimits, parse_here, parser_versions
from retrieval.ingest.preparation import Item, Preparation
from retrieval.settings import RetrievalSettings
from tests.doubles.provider import FaultyProvider, vectors


def item(number: int) -> Item:
    content = f"# Rule {number}\n\nRule number {number} says something of its own."
    return Item(Source(f"{number}.md", "acme"), content.encode(), "rule.md")


def workers(fingerprint: Fingerprint) -> ray_workers.RayWorkers:
    embedder = Part(use="hashing")
    return ray_workers.RayWorkers(
        RaySettings(), embedder=embedder, retrieval=RetrievalSettings(), seed=7, fingerprint=fingerprint
    )


def test_a_worker_with_other_parts_refuses(tmp_path: Path) -> None:
    context = Context(data_dir=tmp_path)
    embedder = load("models.embedder", Part(use="hashing"), context)
    chunker = load("retrieval.chunker", Part(use="structure"), context)
    ours = fingerprint_of("hashing", embedder, chunker)
    assert isinstance(ray_workers.preparation_of(workers(ours).parts), Preparation)
    turned = tuple(tuple(-value for value in row) for row in ours.probe)
    other = workers(type(ours)("other", ours.dimensions, turned, ours.chunker)).parts
    with pytest.raises(FingerprintMismatch, match="same version of everything"):
        ray_workers.preparation_of(other)


def test_what_embedding_costs_on_a_worker_is_paid_here_for_the_tenant_of_the_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyProvider(vectors(50)) as provider:
        part = Part.model_validate(
            {"use": "openai_compatible", "model": "emb-1", "api_key": "k", "base_url": f"{provider.url}/v1"}
        )
        context = Context(data_dir=tmp_path)
        chunker = load("retrieval.chunker", Part(use="structure"), context)
        embedder = load("models.embedder", part, context)
        ours = fingerprint_of("openai_compatible", embedder, chunker)
        # a double of the worker's parts, without its child process
        parts = Preparation(embedder=embedder, chunker=chunker, parse=partial(parse_here, limits=ParseLimits()))
        monkeypatch.setattr(ray_workers, "preparation_of", lambda _: parts)
        paid: list[tuple[str | None, int | None]] = []
        there = ray_workers.RayWorkers(
            RaySettings(), embedder=part, retrieval=RetrievalSettings(), seed=7, fingerprint=ours,
            pay=lambda call: paid.append((served_tenant.get(), call.usage.input_tokens)),
        )  # fmt: skip
        results, requests = copy_context().run(ray_workers._prepare, there.parts, [item(1)])
        monkeypatch.setattr(ray_workers, "_results_of", lambda prepared: prepared)
        assert there._paid_results({"north"}, (results, requests)) == results
        there._paid_results({"north", "south"}, (results, requests))
        embedder.close()
    assert paid == [("north", 50), ("*", 50)]


def test_a_worker_with_other_parsers_refuses_and_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = Context(data_dir=tmp_path)
    embedder = load("models.embedder", Part(use="hashing"), context)
    ours = workers(fingerprint_of("hashing", embedder, load("retrieval.chunker", Part(use="structure"), context)))
    monkeypatch.setattr(ray_workers, "parser_versions", lambda limits: parser_versions(limits) | {"ferry 1"})
    ray_workers.preparation_of.cache_clear()
    with pytest.raises(FingerprintMismatch, match="only one of them has the parsers ferry 1"):
        ray_workers.preparation_of(ours.parts)


def test_without_the_package_the_start_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_workers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="WITH=ray"):
        ray_workers.demand_ray()


def test_two_writes_at_once_join_the_cluster_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    joined: list[str] = []
    both = threading.Barrier(2)

    def join(**_: object) -> None:
        assert not joined, "Perhaps you called ray.init twice by accident?"  # Ray's own words
        time.sleep(0.2)  # so that the other one looks meanwhile, whether somebody has joined
        joined.append("this process")

    def connect(_: int) -> bool:
        both.wait()
        return ray_workers.connect(RaySettings())

    monkeypatch.setattr(ray, "init", join)
    monkeypatch.setattr(ray, "is_initialized", lambda: bool(joined))
    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(connect, range(2))) == [False, True]
    assert len(joined) == 1

"""What `make bench-ingest` says of an ingest, of a good one and of bad ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from mmap import mmap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from foundation.components import Context, load
from foundation.errors import InvalidRequest
from foundation.settings import Part
from lab.bench.ingest import KeepsNothing, bench_ingest, made_up, memory_growth, passages, sentences_of
from retrieval.documents import ParseLimits
from retrieval.ingest.parsing import parse_here
from retrieval.ingest.pipeline import Ingestor
from retrieval.ingest.preparation import Item

SENTENCES = [
    f"Sentence {number} says what one may do with the lamp after it has been {number} times." for number in range(40)
]


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[dict[str, Any]]:
    context = Context(data_dir=tmp_path)
    made = {
        "ledger": load("retrieval.ledger", Part(use="sqlite"), context),
        "embedder": load("models.embedder", Part(use="hashing"), context),
        "chunker": load("retrieval.chunker", Part(use="structure"), context),
        "parse": lambda content, name: parse_here(content, name, ParseLimits()),
        "clock": context.clock,
    }
    yield made
    made["ledger"].close()


def ingestor(parts: dict[str, Any]) -> Ingestor:
    return Ingestor(vectors=KeepsNothing(), **parts)


def measured(parts: dict[str, Any], ingest: Any, **more: Any) -> dict[str, Any]:
    items = list(made_up(SENTENCES, 9, seed=1))
    own = {name: parts[name] for name in ("embedder", "parse", "chunker")}
    return bench_ingest(items, ingestor=ingest, progress=lambda *_: None, **own, **more)


def test_an_ingest_that_keeps_its_vectors_embeds_nothing_twice(parts: dict[str, Any]) -> None:
    found = measured(parts, ingestor(parts))
    assert (found["second_run_embedded"], found["renamed"], found["renamed_embedded"]) == (0, 9, 0)
    assert found["changed_embedded"] == 1 < found["changed_passages"]
    assert found["chunks"] == sum(one["embedded"] for one in found["rounds"]) > 9
    assert found["encoder_share"] > 0
    assert found["second_run_share"] > 0


def test_one_that_forgets_them_is_told_by_the_figures(parts: dict[str, Any]) -> None:
    class Forgets:
        def ingest(self, items: Any, *, progress: Any = None) -> Any:
            chunks = len(passages(items, parts["parse"], parts["chunker"]))
            return SimpleNamespace(chunks=chunks, embedded=chunks, added=len(items))

    found = measured(parts, Forgets())
    assert found["second_run_embedded"] == found["renamed_embedded"] == found["chunks"]
    assert found["changed_embedded"] == found["changed_passages"]


def test_another_embedder_is_compared_over_the_same_passages(parts: dict[str, Any]) -> None:
    found = measured(parts, ingestor(parts), against=parts["embedder"])
    assert found["encoder_gain"] > 0
    assert found["encoder_gain_cpu"] is None or found["encoder_gain_cpu"] >= 0


def test_work_shorter_than_the_processor_clock_can_tell_has_no_quotient(
    parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.bench.ingest.time.process_time", lambda: 7.25)
    found = measured(parts, ingestor(parts), against=parts["embedder"])
    assert (found["encoder_share_cpu"], found["encoder_gain_cpu"]) == (None, None)
    assert found["encoder_share"] > 0


def test_memory_that_grows_with_the_documents_is_seen(parts: dict[str, Any]) -> None:
    kept: list[mmap] = []  # pages of its own: what Python allocates may come from memory that an earlier test gave back

    class Hoards:
        def ingest(self, items: Iterable[Item], *, progress: Any = None) -> Any:
            for _ in items:
                kept.append(mmap(-1, 1 << 19))
                kept[-1].write(b"x" * (1 << 19))

    stored = SimpleNamespace(chunk_count=lambda: 5 * len(kept))
    asked: dict[str, Any] = {"chunks": 1500, "progress": lambda *_: None}
    grown = memory_growth(made_up(SENTENCES, 350, seed=1), ingestor=Hoards(), ledger=stored, **asked)
    kept.clear()
    honest = memory_growth(made_up(SENTENCES, 350, seed=1), ingestor=ingestor(parts), ledger=parts["ledger"], **asked)
    assert grown["memory_growth_mb"] > 30 > honest["memory_growth_mb"]
    assert list(grown["memory_mb"]) == list(honest["memory_mb"]) == ["1000", "1500"]
    assert honest["memory_chunks"] >= 1500


def test_made_up_documents_are_the_same_again_and_no_two_passages_are_alike(parts: dict[str, Any]) -> None:
    once, again = (list(made_up(SENTENCES, 20, seed=3)) for _ in range(2))
    texts = passages(once, parts["parse"], parts["chunker"])
    assert once == again
    assert len(set(texts)) == len(texts)


def test_a_folder_without_sentences_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Short\n", encoding="utf-8")
    with pytest.raises(InvalidRequest, match="holds no sentence"):
        sentences_of(tmp_path)

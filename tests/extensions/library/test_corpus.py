"""What state the documents are in: sources, age, versions, and which of them say the same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extensions.library import corpus_report
from foundation.components import Context, load
from foundation.settings import Part
from foundation.types import Scope
from retrieval.contract import DocumentLedger
from retrieval.documents import Block, Chunk, Document, Entry, Parsed, Refusal, Source

ACME = Scope("acme")
TODAY = date(2026, 11, 25)
STORED = datetime(2026, 11, 1, tzinfo=UTC)
WORDS = [f"word{n}" for n in range(2_000)]


def document(uri: str, *, superseded: bool = False, chunks: int = 2, **about: Any) -> Document:
    return Document(uri, Source(uri, "acme", **about), "hash", 1_000, chunks, STORED, superseded)


def entry(uri: str, text: str, **about: Any) -> Entry:
    source = Source(uri, **({"tenant": "acme"} | about))
    chunk = Chunk(f"{source.document_id}-0", source.document_id, 0, text, 0, len(text))
    parsed = Parsed(text, (Block("paragraph", 0, len(text)),))
    return Entry(source, "hash", parsed, (chunk,), np.ones((1, 2), dtype=np.float32))


@pytest.fixture
def ledger(data_dir: Path) -> Iterator[DocumentLedger]:
    made: DocumentLedger = load("retrieval.ledger", Part(use="sqlite"), Context(data_dir=data_dir))
    yield made
    made.close()


def text(seed: int, length: int = 300) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def changed(words: str, count: int) -> str:
    """`count` words, evenly spread, replaced by others."""
    told = words.split()
    for at in range(0, len(told), len(told) // count):
        told[at] = f"other{at}"
    return " ".join(told)


def pairs(ledger: DocumentLedger, scope: Scope = ACME, threshold: float = 0.8) -> list[tuple[str, str]]:
    found = corpus_report.find_near_duplicates(ledger, ledger.documents(scope), scope, threshold=threshold)
    return [(one.a, one.b) for one in found]


def test_documents_are_counted_by_where_they_came_from() -> None:
    found = corpus_report.summarise_sources(
        [document("a", origin="handbook"), document("b", origin="handbook"), document("c")]
    )
    assert [(one.origin, one.documents, one.chunks, one.characters) for one in found] == [
        ("handbook", 2, 4, 2_000),
        ("", 1, 2, 1_000),
    ]


def test_a_document_is_as_old_as_its_own_date_and_only_without_one_as_its_storing() -> None:
    documents = [
        document("old", published=date(2020, 1, 1)),
        document("renewed", published=date(2020, 1, 1), effective_from=date(2026, 11, 1)),
        document("undated"),
        document("replaced", published=date(2019, 1, 1), superseded=True),
    ]
    (only,) = corpus_report.find_stale(documents, today=TODAY, after_days=365)
    assert (only.uri, only.dated, only.review_on) == ("old", date(2020, 1, 1), date(2020, 12, 31))
    assert [one.uri for one in corpus_report.find_stale(documents, today=TODAY, after_days=24)] == [
        "old",
        "renewed",
        "undated",
    ]


def test_the_figures_of_an_empty_corpus_are_zeros_and_no_error() -> None:
    figures = corpus_report.compute_statistics([], [])
    assert (figures["documents"], figures["chunks"], figures["media_types"]) == (0, 0, {})
    assert figures["outdated"] == {}


def test_figures_count_versions_refusals_and_kinds() -> None:
    documents = [document("a", media_type="text/html", series="s", superseded=True), document("b", series="s")]
    figures = corpus_report.compute_statistics(documents, [Refusal("c", "acme", "empty", "Empty.", STORED)])
    assert [figures[name] for name in ("documents", "superseded", "refused", "series")] == [2, 1, 1, 1]
    assert figures["media_types"] == {"text/html": 1, "unknown": 1}


def test_nearly_equal_texts_are_found_and_others_are_not(ledger: DocumentLedger) -> None:
    """The exact similarity decides, so no pair is found wrongly; 40 pairs well above the threshold must all be found."""
    for n in range(40):
        ledger.put([entry(f"a{n:02}", text(n)), entry(f"b{n:02}", changed(text(n), 4))])
    ledger.put([entry(f"c{n:02}", changed(text(n), 60)) for n in range(40)])
    assert sorted(pairs(ledger)) == [(f"a{n:02}", f"b{n:02}") for n in range(40)]


def test_pairs_tell_how_alike_they_are_and_whether_they_are_versions(ledger: DocumentLedger) -> None:
    ledger.put([entry("v1", text(1), series="s"), entry("v2", text(1), series="s"), entry("x", changed(text(1), 2))])
    found = corpus_report.find_near_duplicates(ledger, ledger.documents(ACME), ACME)
    assert [(one.a, one.b, one.same_series) for one in found] == [
        ("v1", "v2", True),
        ("v1", "x", False),
        ("v2", "x", False),
    ]
    assert found[0].similarity == 1.0
    assert 0.9 < found[1].similarity < 1.0


def test_scripts_without_spaces_and_single_words_are_compared_too(ledger: DocumentLedger) -> None:
    warranty = "保修期为两年,自购买之日起计算,不包括电池和正常磨损。" * 3
    ledger.put([entry("zh1", warranty), entry("zh2", warranty + "谢谢"), entry("one", "Word"), entry("two", "word")])
    assert pairs(ledger) == [("one", "two"), ("zh1", "zh2")]


def test_texts_of_other_tenants_are_not_compared(ledger: DocumentLedger) -> None:
    ledger.put([entry("mine", text(1)), replace(entry("theirs", text(1), tenant="other"))])
    assert pairs(ledger) == []

"""Which layer to strengthen next: where the failures of a golden set began, and the worth of each layer's parts by ablation."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from extensions.swap_report.compare import Comparison
from foundation.types import Layer

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Ablation:
    """A system without one of its parts; `changes` are the configuration's."""

    layer: Layer
    without: str
    changes: Mapping[str, Any]


# by its module, so that no option of the stack stays
DEFAULT_CHUNKER = {"use": "retrieval.chunkers.structure:build"}
ABLATIONS = (
    Ablation("models", "the reranker", {"models": {"reranker": {"use": "none"}}}),
    Ablation("retrieval", "the chunker: the default one cuts", {"retrieval": {"chunker": DEFAULT_CHUNKER}}),
    Ablation("models", "vectors: words alone are searched", {"retrieval": {"ranking": {"keyword_weight": 1.0}}}),
    Ablation("models", "what the chat model writes: quotes alone", {"orchestration": {"answers": {"compose": "extractive"}}}),
    Ablation("retrieval", "words: vectors alone are searched", {"retrieval": {"ranking": {"keyword_weight": 0.0}}}),
    Ablation("retrieval", "the threshold of evidence: it always answers", {"retrieval": {"grounding": {"min_evidence": 0.0}}}),
    Ablation("retrieval", "all documents but the first one found", {"orchestration": {"answers": {"evidence_documents": 1}}}),
    Ablation("orchestration", "what acts: every request is a question", {"orchestration": {"agent": {"use": "quoting"}}}),
    Ablation("observability", "spans on the disk", {"observability": {"exporters": []}}),
)  # fmt: skip


@dataclass(frozen=True)
class Worth:
    """The worth of a part: the whole system minus the system without it."""

    layer: Layer
    without: str
    passed: float
    """Share of the questions that the part makes right. `low`, `high`: paired 95 % interval; `None` for few cases."""
    low: float | None
    high: float | None
    ms: float | None
    usd: float | None
    n: int


# Places where failures begin; the first that matches a case counts
PLACES: tuple[tuple[Layer, str, Callable[[Row], bool]], ...] = (
    ("serving", "the request failed", lambda row: bool(row.get("error"))),
    ("retrieval", "a document was shown that the person may not see", lambda row: bool(row.get("leaked"))),
    ("orchestration", "the wrong tool, or other arguments", lambda row: row.get("tool_right") is not None),
    ("retrieval", "answered, though no document has the answer", lambda row: row.get("refused") is not None),
    ("retrieval", "a document was not found", lambda row: row.get("recall_at_10", 1) < 1),
    ("retrieval", "refused, though the document was found", lambda row: row.get("status") != "answered"),
    ("models", "the document was found, and the answer left its fact out", lambda _: True),
)


def worth_of(ablation: Ablation, whole: Comparison) -> Worth:
    """Return the part's worth. `whole` compares the system of the ablation (A) with the whole system (B)."""
    passed = whole.metrics["passed"]
    ms, usd = (
        whole.metrics[name].diff if name in whole.metrics else None for name in ("answer_p50_ms", "usd_per_answer")
    )
    return Worth(ablation.layer, ablation.without, passed.diff, passed.low, passed.high, ms, usd, passed.n)


def locate_failure(row: Row) -> tuple[Layer, str] | None:
    """Return where the answer of a golden case went wrong; `None` where it did not.

    >>> locate_failure({"passed": 0.0, "kind": "answerable", "recall_at_10": 0.0})
    ('retrieval', 'a document was not found')
    """
    if row.get("passed") or row.get("passed") is None:
        return None
    return next((layer, what) for layer, what, holds in PLACES if holds(row))


def count_failures(rows: Iterable[Row]) -> list[tuple[Layer, str, int]]:
    """Return the places of failures with their counts, most frequent first."""
    places = Counter(place for row in rows if (place := locate_failure(row)) is not None)
    return [(layer, what, count) for (layer, what), count in places.most_common()]


def choose_layer(rows: Iterable[Row], worths: Iterable[Worth] = ()) -> tuple[Layer, str] | None:
    """Return the layer to strengthen next, and why: the layer of a part whose removal repairs half of the failures,
    else the layer in which most of them began; `None` without failures.
    """
    layers: Counter[Layer] = Counter()
    for layer, _, count in count_failures(rows):
        layers[layer] += count
    if not layers:
        return None
    for worth in sorted(worths, key=lambda worth: worth.passed):
        mended = round(-worth.passed * worth.n)
        if (worth.high is None or worth.high < 0) and mended > 0 and 2 * mended >= layers.total():
            return worth.layer, f"of {worth.n} questions, {mended} more got a right answer without {worth.without}"
    layer, count = layers.most_common(1)[0]
    return layer, f"{count} of {layers.total()} failures begin there"

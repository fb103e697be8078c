"""Rerankers and document compressors through one door: scores in input order, nothing spoiled in silence."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding

from foundation.components import Assembly, Context, load
from foundation.errors import ComponentError, InvalidSetting, UpstreamMalformed
from foundation.settings import Part
from models.build import open_reranker
from models.contract import ScoringParts
from models.scoring.checked import reranker_of
from models.settings import ModelsSettings
from tests.doubles import compressors

TEXTS = ["nothing of it", "a refund is paid", "a refund", "when"]
QUERY = "when is a refund paid"


class Fixed:
    def __init__(self, scores: Any) -> None:
        self.scores = scores

    def score(self, query: str, texts: Sequence[str]) -> Any:
        if isinstance(self.scores, Exception):
            raise self.scores
        return self.scores


def test_a_compressor_that_scores_gives_its_scores_in_the_order_of_the_texts() -> None:
    assert reranker_of(compressors.Scored(top_n=4)).score(QUERY, TEXTS) == [0.0, 0.4, 0.2, 0.1]


def test_what_a_compressor_drops_stands_just_below_the_lowest() -> None:
    scores = reranker_of(compressors.Scored(top_n=2)).score(QUERY, TEXTS)
    assert scores[1:3] == [0.4, 0.2]
    assert scores[0] == scores[3] < 0.2
    assert scores[0] == pytest.approx(0.2)


def test_a_compressor_without_scores_is_known_by_its_order_whatever_it_makes_of_the_texts() -> None:
    scores = reranker_of(compressors.Ordered(top_n=3)).score(QUERY, TEXTS)
    assert scores[1:] == [1.0, 1 / 2, 1 / 3]
    assert scores[0] < 1 / 3


def test_a_compressor_that_loses_the_metadata_is_refused() -> None:
    with pytest.raises(UpstreamMalformed, match="without the metadata"):
        reranker_of(compressors.Forgetful()).score(QUERY, TEXTS)


def test_a_compressor_that_keeps_nothing_leaves_the_order() -> None:
    class KeepsNothing(compressors.Scored):
        def compress_documents(self, documents: Sequence[Document], query: str, callbacks: Any = None) -> Any:
            return []

    assert len(set(reranker_of(KeepsNothing()).score(QUERY, TEXTS))) == 1


@pytest.mark.parametrize("scores", [[1.0], [1.0, float("nan"), 0.0, 0.0], [1.0, float("inf"), 0.0, 0.0]])
def test_scores_that_would_spoil_the_order_are_refused(scores: list[float]) -> None:
    with pytest.raises(UpstreamMalformed, match="Fixed returned"):
        reranker_of(Fixed(scores)).score(QUERY, TEXTS)


def test_numbers_of_any_kind_become_floats() -> None:
    scores = reranker_of(Fixed(np.arange(4, dtype=np.float32))).score(QUERY, TEXTS)
    assert scores == [0.0, 1.0, 2.0, 3.0]
    assert all(type(score) is float for score in scores)


def test_a_failure_is_ours_with_its_cause() -> None:
    failure = RuntimeError("out of memory")
    with pytest.raises(ComponentError) as caught:
        reranker_of(Fixed(failure)).score(QUERY, TEXTS)
    assert caught.value.__cause__ is failure


def test_something_else_is_refused_by_name() -> None:
    with pytest.raises(InvalidSetting, match="made a dict, which is neither"):
        reranker_of({})


def _load(tmp_path: Path, embedder: Any = None, **part: Any) -> Any:
    given = ScoringParts(data_dir=tmp_path, threads=1, embedder=embedder)
    return load("models.reranker", Part.model_validate(part), given)


def test_no_reranking_leaves_the_order_of_retrieval(tmp_path: Path) -> None:
    assembly = Assembly(Context(data_dir=tmp_path), ExitStack())
    embedder = DeterministicFakeEmbedding(size=8)
    assert open_reranker(ModelsSettings(), assembly, embedder) is None, "there is nothing that could change it"


def test_late_interaction_needs_token_vectors_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"needs a vector a token.*DeterministicFakeEmbedding has none"):
        _load(tmp_path, DeterministicFakeEmbedding(size=8), use="late_interaction")


def test_late_interaction_is_the_mean_of_each_query_tokens_nearest_token(tmp_path: Path) -> None:
    class TwoWords(DeterministicFakeEmbedding):
        def embed_tokens(self, texts: list[str]) -> Any:
            directions = {"red": [1, 0], "blue": [0, 1], "violet": [0.6, 0.8]}
            return [
                np.array([[0, 1], *(directions[word] for word in text.split()), [0, 1]], dtype=np.float32)
                for text in texts
            ]

    scores = _load(tmp_path, TwoWords(size=2), use="late_interaction").score("red blue", ["blue", "violet", "blue red"])
    assert scores == pytest.approx([0.5, 0.7, 1.0])


@pytest.mark.real_model
def test_late_interaction_of_the_bundled_model_knows_what_belongs_together(tmp_path: Path) -> None:
    embedder = load("models.embedder", Part(use="openvino"), Context(data_dir=tmp_path, threads=1))
    scores = _load(tmp_path, embedder, use="late_interaction").score(
        "How long does a refund take?",
        ["The printer needs new toner.", "Money is paid back within fourteen days.", "Opening hours are nine to five."],
    )
    assert max(scores) == scores[1]

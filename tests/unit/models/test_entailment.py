"""What judges of entailment make of a sentence, and what is not let through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from extensions.development.hashing_embedder import HashingEmbedder
from foundation.errors import ComponentError, UpstreamMalformed, WeightsInvalid
from models.contract import ScoringParts
from models.entailment.signs import MOST_COMPARED, SignsJudge, build
from models.entailment.signs import Options as SignsOptions
from models.scoring.checked import CheckedJudge

PREMISE = "Fennel Post delivers parcels within 3 days. Parcels above 20 kg are not taken."


def signs_judge(embedder: HashingEmbedder | None = None, **options: Any) -> SignsJudge:
    parts = ScoringParts(data_dir=Path("nowhere"), embedder=embedder or HashingEmbedder(256))
    return build(SignsOptions(**options), parts)


@pytest.mark.parametrize("sentence", ["Fennel Post delivers parcels within 3 days.", "delivers parcels within 3 days"])
def test_what_stands_there_word_for_word_is_certain(sentence: str) -> None:
    assert signs_judge().support([(PREMISE, sentence)]) == [1.0]


def test_all_sentences_are_embedded_in_one_call() -> None:
    calls = []

    class Counting(HashingEmbedder):
        def embed_array(self, texts: Sequence[str]) -> Any:
            calls.append(len(texts))
            return super().embed_array(texts)

    signs_judge(Counting(64)).support([(PREMISE, "One parcel."), ("Two vans.", "Two days."), (PREMISE, "...")])

    assert len(calls) == 1


def test_only_the_most_promising_of_many_sentences_are_compared() -> None:
    seen: list[str] = []

    class Watched(HashingEmbedder):
        def embed_array(self, texts: Sequence[str]) -> Any:
            seen.extend(text for text in texts if " " in text)
            return super().embed_array(texts)

    filler = " ".join(f"Shelf {n} holds hats." for n in range(500))
    signs_judge(Watched(64)).support([(f"{filler} {PREMISE}", "Parcels above 20 kg are not accepted.")])

    assert len(seen) == 1 + MOST_COMPARED
    assert "Parcels above 20 kg are not taken." in seen


@pytest.mark.parametrize("text", ["", "{", "{}", '{"signs": [], "bias": 1}'])
def test_weights_that_cannot_be_read_are_refused_with_what_to_do(text: str, tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(text)

    with pytest.raises(WeightsInvalid, match="make train-verify"):
        signs_judge(weights=tmp_path / "own.json")


# --- the others -------------------------------------------------------------------------------------------------------


class Fixed:
    def __init__(self, answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str]] = []

    def support(self, pairs: Sequence[tuple[str, str]]) -> Any:
        self.asked += pairs
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers


@pytest.mark.parametrize("answers", [[], [0.5, 0.5], [1.2], [-0.1], [float("nan")]])
def test_what_is_no_probability_a_pair_is_an_error(answers: list[float]) -> None:
    with pytest.raises(UpstreamMalformed, match="Fixed returned"):
        CheckedJudge(Fixed(answers)).support([("a", "b")])


def test_a_vendors_error_is_translated_and_kept_as_the_cause() -> None:
    with pytest.raises(ComponentError) as caught:
        CheckedJudge(Fixed(RuntimeError("out of memory"))).support([("a", "b")])
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_pair_without_words_on_one_side_is_not_asked() -> None:
    inner = Fixed([0.7])
    assert CheckedJudge(inner).support([("", "b"), ("a", "b"), ("a", " ?!")]) == [0.0, 0.7, 0.0]
    assert inner.asked == [("a", "b")]

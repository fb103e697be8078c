"""Whether a quote supports a statement."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from extensions.development.hashing_embedder import HashingEmbedder
from retrieval.grounding.claim_support import support_of
from tests.doubles.entailment import signs_over

QUOTE = "Fennel Post delivers parcels within 3 days. Parcels above 20 kg are not taken."


class Believes:
    def support(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [1.0] * len(pairs)


@pytest.mark.parametrize("sentence", ["Fennel Post delivers parcels within 3 days.", "delivers parcels within 3 days"])
def test_what_stands_there_word_for_word_is_certain(sentence: str) -> None:
    assert support_of([sentence], [QUOTE], signs_over(HashingEmbedder(256))) == [1.0]


@pytest.mark.parametrize(
    ("sentence", "left"),
    [
        ("It comes within 3 days.", 1.0),
        ("It comes within 9 days.", 0.5),
        ("It comes with Mallow.", 0.7),
        ("The parcels of Mallow come within 9 days.", 0.35),
        ("Parcels above 20 kg are taken.", 0.5),
        ("Fennel Post does not deliver parcels within 3 days.", 0.5),
        ("Parcels of more than 20 kg are not taken.", 1.0),
    ],
)
def test_what_speaks_against_a_sentence_lowers_the_score_of_a_judge_that_believes_everything(
    sentence: str, left: float
) -> None:
    assert support_of([sentence], [QUOTE], Believes()) == [pytest.approx(left)]


@pytest.mark.parametrize("sentence", ["It has 120 m2.", "It has 120 m²."])
def test_a_unit_may_be_typed_otherwise_than_it_is_quoted(sentence: str) -> None:
    assert support_of([sentence, sentence], ["The flat has 120 m².", "A flat has 120 square metres."], Believes()) == [
        1.0,
        1.0,
    ]

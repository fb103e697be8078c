from __future__ import annotations

from collections.abc import Sequence

import pytest

from models.embedders.hashing import HashingEmbedder
from retrieval.grounding.claim_support import check_sentences
from tests.doubles.entailment import signs_over

QUOTE = "Fennel Post delivers parcels within 3 days. Parcels above 20 kg are not taken."


def check(sentence: str):
    return check_sentences([sentence], [QUOTE], signs_over(HashingEmbedder(256)))[0]


def test_a_check_names_what_speaks_against_the_sentence() -> None:
    assert check("Fennel Post delivers parcels within 9 days.").unknown_figures == {"9"}
    assert check("The parcels of Mallow come within 3 days.").unknown_names == {"Mallow"}
    assert check("Fennel Post does not deliver parcels within 3 days.").denied
    assert check("Parcels above 20 kg are taken.").denied


def test_a_check_says_which_sentence_is_closest() -> None:
    assert check("Parcels of more than 20 kg are not taken.").closest == "Parcels above 20 kg are not taken."


@pytest.mark.parametrize("sentence", ["Fennel Post delivers parcels within 3 days.", "delivers parcels within 3 days"])
def test_what_stands_there_word_for_word_is_certain(sentence: str) -> None:
    assert check(sentence).score == 1.0


def test_what_speaks_against_a_sentence_lowers_the_score_of_a_judge_that_believes_everything() -> None:
    class Believes:
        def support(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
            return [1.0] * len(pairs)

    sentences = [
        "It comes within 3 days.",
        "It comes within 9 days.",
        "It comes with Mallow.",
        "Parcels above 20 kg are taken.",
    ]
    assert [found.score for found in check_sentences(sentences, [QUOTE], Believes())] == [1.0, 0.5, 0.7, 0.5]

from __future__ import annotations

import numpy as np
import pytest

from models.embedders.hashing import HashingEmbedder
from retrieval.grounding.claim_support import SIGNS, Judge, check_sentences, compare, fit_judge, shipped_judge

QUOTE = "Fennel Post delivers parcels within 3 days. Parcels above 20 kg are not taken."
EMBEDDER = HashingEmbedder(256)


def check(sentence: str):
    return check_sentences([sentence], [QUOTE], EMBEDDER, shipped_judge())[0]


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


def test_all_sentences_are_embedded_in_one_call() -> None:
    calls = []

    class Counting(HashingEmbedder):
        def embed_array(self, texts):
            calls.append(len(texts))
            return super().embed_array(texts)

    check_sentences(["One parcel.", "Two days.", "..."], [QUOTE], Counting(64), shipped_judge())

    assert len(calls) == 1


def test_only_the_most_promising_of_many_sentences_are_compared() -> None:
    filler = [f"Shelf {n} holds hats." for n in range(500)]
    (one,) = compare(["Parcels above 20 kg are not accepted."], [*filler, QUOTE], EMBEDDER)

    assert one is not None
    assert one.closest == "Parcels above 20 kg are not taken."


def test_a_judge_learns_the_sign_that_tells_and_ignores_the_one_that_does_not() -> None:
    chance = np.random.default_rng(3)
    rows = np.zeros((200, len(SIGNS)))
    truth = [bool(n % 2) for n in range(200)]
    rows[:, 0] = [0.9 if true else 0.1 for true in truth]
    rows[:, 1] = chance.random(200)
    judge = fit_judge(rows, truth)

    assert judge.score(rows[1]) > 0.9
    assert judge.score(rows[0]) < 0.1
    assert abs(judge.weights[0]) > 10 * abs(judge.weights[1])


def test_both_outcomes_weigh_the_same_however_rare_one_is() -> None:
    rows = np.zeros((100, len(SIGNS)))

    assert fit_judge(rows, [n < 10 for n in range(100)]).score(rows[0]) == pytest.approx(0.5)


def test_within_an_outcome_rows_weigh_as_they_are_told_to() -> None:
    rows = np.array([[0.9], [0.8], [0.2], [0.8]])
    truth = [True, True, False, False]
    same, fewer = fit_judge(rows, truth), fit_judge(rows, truth, weights=[1, 1, 1, 1e-6])

    assert fewer.score(rows[1]) > same.score(rows[1])
    assert fit_judge(rows, truth, weights=[5, 5, 2, 2]).score(rows[1]) == pytest.approx(same.score(rows[1]), abs=1e-4)


def test_a_judge_survives_being_stored() -> None:
    row = np.linspace(0, 1, len(SIGNS))

    assert Judge.of(shipped_judge().as_dict()).score(row) == pytest.approx(shipped_judge().score(row), abs=1e-3)

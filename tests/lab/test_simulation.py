"""The value report's interval holds the truth as often as it promises."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from extensions.value.outcome_contract import load_contract
from lab.value import simulation

CONTRACT = Path(__file__).parents[2] / "outcomes.toml"


@pytest.fixture
def contract():
    return load_contract(CONTRACT)


@pytest.fixture(scope="module")
def found():
    contract = load_contract(CONTRACT)
    return simulation.coverage(contract, simulation.all_recorded(contract), months=200, answers=200)


def test_the_interval_holds_the_truth_as_often_as_it_promises(found):
    assert found.keeps_its_promise, found
    assert found.covered < 200, "an interval that is never wrong promises too little"
    assert abs(found.mean_error_usd) < found.mean_width_usd / 10


def test_outcomes_that_people_like_to_tell_bias_the_estimate_and_the_interval_still_holds_the_truth(contract):
    found = simulation.coverage(contract, simulation.half_recorded(contract), months=60, answers=200)
    assert found.mean_error_usd > 100
    assert found.keeps_its_promise, found


def test_an_estimator_that_promises_too_much_is_caught(found):
    assert not replace(found, covered=170).keeps_its_promise


def test_a_month_follows_its_truth(contract):
    truth = simulation.all_recorded(contract)
    outcomes, answers = simulation.month(contract, truth, answers=4000, rng=np.random.default_rng(3))
    assert len(outcomes) == len(answers) == 4000
    accepted = sum(one.verdict == "accepted" for one in outcomes) / 4000
    assert accepted == pytest.approx(truth.shares["accepted"], abs=0.03)
    assert {one.origin for one in outcomes} == {"simulation"}

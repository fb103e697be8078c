"""The business case follows from the assumptions of the outcome contract."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from extensions.value.business_case import BusinessCase
from extensions.value.outcome_contract import load_contract

CONTRACT = Path(__file__).parents[2] / "doubles" / "outcomes.toml"


@pytest.fixture
def contract():
    return load_contract(CONTRACT)


def test_the_business_case_follows_from_the_assumptions_by_hand(contract):
    found = BusinessCase(contract)
    hour, error = 32.0, (0.04 - 0.03) * 22
    saved = 0.45 * (0.8 * 6 / 60 * hour + error) + 0.15 * (0.8 * 4 / 60 * hour + error) + 0.10 * (-1 / 60 * hour)
    assert found.usd_value_per_month == pytest.approx(3200 * saved)
    assert found.usd_cost_per_month == pytest.approx(900 + 24000 / 18 + 3200 * 0.0005)
    assert found.break_even_cases_per_month == pytest.approx((900 + 24000 / 18) / (saved - 0.0005))
    assert "assumptions" in found.label


def test_at_each_break_even_value_nothing_is_left(contract):
    by_name = {condition.name: condition for condition in BusinessCase(contract).conditions}
    volume = by_name["cases a month"].break_even
    process = contract.process.model_copy(update={"volume_per_month": volume})
    assert BusinessCase(contract.model_copy(update={"process": process})).usd_net_per_month == pytest.approx(
        0, abs=1e-6
    )
    check = by_name["minutes to check an accepted answer"].break_even
    resolved = contract.resolved.model_copy(update={"minutes_accepted": check})
    assert BusinessCase(contract.model_copy(update={"resolved": resolved})).usd_net_per_month == pytest.approx(
        0, abs=1e-6
    )


def test_a_system_that_saves_nothing_breaks_even_at_no_volume(contract):
    expected = contract.expected.model_copy(update={"accepted": 0.0, "edited": 0.0, "rejected": 1.0, "escalated": 0.0})
    found = BusinessCase(contract.model_copy(update={"expected": expected}))
    assert (found.break_even_cases_per_month, found.months_to_pay_back) == (None, None)
    assert found.usd_net_per_month < 0


def test_without_a_declared_conversion_the_time_is_shown_and_not_counted(contract):
    found = BusinessCase(contract.model_copy(update={"conversion": None}))
    assert found.hours_saved_per_month == pytest.approx(BusinessCase(contract).hours_saved_per_month)
    assert found.contract.counted_share == 0
    assert found.usd_net_per_month < 0
    assert "no money" in found.contract.conversion_sentence


def test_the_tornado_shows_the_widest_swing_first_and_its_ends_can_be_computed_by_hand(contract):
    tornado = BusinessCase(contract).tornado
    widths = [abs(swing.usd_at_high - swing.usd_at_low) for swing in tornado]
    assert widths == sorted(widths, reverse=True)
    minutes = next(swing for swing in tornado if swing.name == "minutes per case")
    assert (minutes.low, minutes.high) == (5.5, 8.0)
    build = next(swing for swing in tornado if swing.name == "usd build")
    assert build.usd_at_low - build.usd_at_high == pytest.approx(24000 * 0.5 / 18)


def test_no_share_is_varied_beyond_one(contract):
    expected = contract.model_copy(
        update={"conversion": contract.conversion.model_copy(update={"share": 0.9}), "ranges": {}}
    )
    assert next(swing for swing in BusinessCase(expected).tornado if swing.name == "share").high == 1.0


def test_no_more_answers_are_accepted_than_were_to_be_accepted_or_escalated(contract):
    shares = contract.expected.model_copy(update={"accepted": 0.85, "rejected": 0.0, "escalated": 0.0})
    swings = BusinessCase(contract.model_copy(update={"expected": shares, "ranges": {}})).tornado
    assert next(swing for swing in swings if swing.name == "accepted").high == pytest.approx(0.85)


def test_the_case_is_a_table_and_json(contract):
    found = BusinessCase(contract)
    assert found.table().row_count > 15
    assert json.loads(json.dumps(found.as_dict()))["tornado"][0]["name"] == "accepted"


def test_every_figure_is_declared_or_assumed():
    case = BusinessCase(load_contract(CONTRACT))
    told = case.as_dict()["figures"]
    assert told["usd_net_per_month"]["basis"] == told["usd_cost_per_month"]["basis"] == "assumed"
    assert told["counted_share"]["basis"] == "declared"
    bases = {swing.name: swing.basis for swing in case.tornado}
    assert (bases["volume per month"], bases["error rate assisted"]) == ("declared", "assumed")
    assert "(3200 declared)" in "".join(map(str, case.conditions))

"""Mistakes in the outcome contract are named, and minutes count as it declares."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from extensions.value.outcome_contract import load_contract
from foundation.errors import InvalidSetting, UnknownSetting

CONTRACT = Path(__file__).parents[2] / "doubles" / "outcomes.toml"


@pytest.fixture
def contract():
    return load_contract(CONTRACT)


@pytest.mark.parametrize(
    ("old", "new", "error", "says"),
    [
        (
            "volume_per_month",
            "volume_per_mont",
            UnknownSetting,
            'process.volume_per_mont".*Did you mean "volume_per_month"',
        ),
        ("[floors]", "[flors]", UnknownSetting, 'Did you mean "floors"'),
        ("\nrole =", "\nrolle =", UnknownSetting, 'Did you mean "role"'),
        ("accepted = 0.45", "accepted = 0.50", InvalidSetting, "add up to 1.05"),
        ("usd_per_hour = 32.0", 'usd_per_hour = "much"', InvalidSetting, "process.usd_per_hour"),
        ("[process]", "[process", InvalidSetting, "not valid TOML"),
        ('by = "volume"', 'bye = "volume"', UnknownSetting, 'conversion.bye".*Did you mean "by"'),
        ('by = "volume"', 'by = "magic"', InvalidSetting, "conversion.by"),
        ("low = 5.5", "low = 9.5", InvalidSetting, "above high"),
        ('floor = "refused_min"', 'floor = "leaked_max"', InvalidSetting, "no floor of risk"),
        ('floor = "refused_min"', 'floor = "answer_contained_min"', InvalidSetting, "has two"),
        ('accepted_by = "Ruben Halvard"', 'accepted_by = "The build"', InvalidSetting, "has not signed"),
        ("down_to = 0.68", "down_to = 0.9", InvalidSetting, "not below refused_min"),
        ("until = 2027-11-28", "until = 2029-11-28", InvalidSetting, "a year at most"),
        ("until = 2027-11-28", "untl = 2027-11-28", UnknownSetting, 'Did you mean "until"'),
        ('process.minutes_per_case" =', 'process.minutes" =', InvalidSetting, "process.minutes"),
        ('process.minutes_per_case" =', 'resolved.definition" =', InvalidSetting, '"resolved.definition" takes none'),
        ("low = 5.5", "low = -5.5", InvalidSetting, "minutes_per_case is 7.*within 0 to inf"),
        (
            "low = 5.5, high = 8.0",
            "low = 50, high = 80.0",
            InvalidSetting,
            "minutes_per_case is 7; its range must hold",
        ),
        ("high = 0.60", "high = 0.90", InvalidSetting, "expected.accepted is 0.45.*within 0 to 0.75"),
        ("_month_above = 1500.0", "_month_above = -1500.0", InvalidSetting, "greater than or equal to 0"),
        ("usd_build = 24000.0", "usd_build = inf", InvalidSetting, "finite"),
        ("ship_if_usd_per_month_above = 1500.0", "ship_if_usd_per_month_above = nan", InvalidSetting, "finite"),
        ("minutes_per_case = 7.0", "minutes_per_case = 0", InvalidSetting, "greater than 0"),
        ("\nerror_rate = 0.04", "\nerror_rate = 4", InvalidSetting, "less than or equal to 1"),
    ],
)
def test_a_mistake_in_the_contract_is_named(tmp_path, old, new, error, says):
    text = CONTRACT.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "outcomes.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(error, match=says):
        load_contract(path)


def test_a_range_may_end_where_the_shares_do_though_their_sum_is_a_little_less(tmp_path):
    text = CONTRACT.read_text()
    for old, new in (("accepted = 0.45", "accepted = 0.70"), ("edited = 0.15", "edited = 0.10")):
        text = text.replace(old, new)
    text = text.replace("escalated = 0.30", "escalated = 0.10").replace("high = 0.60 }", "high = 0.80 }")
    (tmp_path / "o.toml").write_text(text)
    assert load_contract(tmp_path / "o.toml").most_of("expected.accepted") == 0.8
    assert 0.7 + 0.1 < 0.8


def test_a_missing_contract_says_to_write_one(tmp_path):
    with pytest.raises(InvalidSetting, match="Write one before you build"):
        load_contract(tmp_path / "outcomes.toml")


def test_the_contract_was_signed_by_three_roles():
    assert len(tomllib.loads(CONTRACT.read_text(encoding="utf-8"))["signed"]) == 3


def test_minutes_saved_are_no_money_without_a_declared_conversion(contract):
    undeclared = contract.model_copy(update={"conversion": None})
    assert undeclared.usd_saved("accepted") == pytest.approx(undeclared.usd_of_errors("accepted"))
    assert "no conversion is declared" in undeclared.conversion_sentence
    assert contract.usd_saved("accepted") > undeclared.usd_saved("accepted")


def test_minutes_saved_count_by_the_declared_share_and_minutes_lost_in_full(contract):
    assert contract.conversion.share == 0.8
    assert contract.usd_of_minutes(60) == pytest.approx(0.8 * 32)
    assert contract.usd_of_minutes(-60) == pytest.approx(-32)


def test_recorded_minutes_stand_before_assumed_ones(contract):
    assert contract.minutes_saved("edited") == pytest.approx(7.0 - 3.0)
    assert contract.minutes_saved("edited", 6.5) == pytest.approx(0.5)

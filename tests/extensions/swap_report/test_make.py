"""`make swap-report` takes the values that people give it."""

from tests.make_rules import RULES, to_arguments


def test_a_value_goes_to_its_option_or_argument():
    assert {*["A", "B", "DATA", "HTML", "JSON", "LIMIT", "REPEATS"]} <= RULES["swap-report"]
    assert to_arguments("make swap-report A=a.toml B=b.toml") == ["swap-report", "--a=a.toml", "--", "b.toml"]

"""The forecast of costs knows how few days it has seen."""

from __future__ import annotations

import json
from datetime import date, timedelta

import numpy as np
import pytest

from extensions.reports.forecast import DAYS, forecast
from foundation.errors import InvalidRequest

TODAY = date(2026, 11, 25)


def days(values):
    return {TODAY - timedelta(days=len(values) - number): float(value) for number, value in enumerate(values)}


def test_equal_days_give_a_sure_forecast():
    found = forecast(days([2.0] * 10), today=TODAY)
    assert (found.usd, found.low, found.high) == pytest.approx((60, 60, 60))
    assert found.days_seen == 10
    assert "only 10 whole days" in found.notes[0]


def test_today_is_not_whole_and_does_not_count():
    found = forecast(days([2.0] * 14) | {TODAY: 100.0}, today=TODAY)
    assert found.usd == pytest.approx(60)
    assert found.notes == []


def test_a_day_without_charges_is_a_day_at_zero():
    seen = days([3.0] * 10)
    del seen[TODAY - timedelta(days=5)]
    assert forecast(seen, today=TODAY).usd == pytest.approx(DAYS * 2.7, rel=0.02)


def test_unpriced_calls_are_told_beside_it():
    found = forecast(days([1.0] * 7 + [2.0] * 7), today=TODAY, unpriced=3)
    assert any("3 calls have no known price" in note for note in found.notes)
    assert found.table().row_count == 2
    assert json.loads(json.dumps(found.as_dict()))["days"] == DAYS


def test_before_the_first_whole_day_nothing_is_foretold():
    for seen in ({}, {TODAY: 1.0}):
        with pytest.raises(InvalidRequest, match="no whole day"):
            forecast(seen, today=TODAY)


def test_one_day_says_nothing_of_another():
    found = forecast(days([2.0]), today=TODAY)
    assert (found.usd, found.low, found.high) == (60, None, None)
    assert "between" not in str(next(iter(found.table().columns[1].cells)))
    json.dumps(found.as_dict(), allow_nan=False)


@pytest.mark.parametrize("weeks", [2, 3, 4, 9])
@pytest.mark.parametrize("persistence", [0.0, 0.5])
def test_the_interval_holds_the_month_that_follows_about_as_often_as_it_says(weeks, persistence):
    """A busy day is followed by a busy one where there is persistence. Of 200 months 190 should be held."""
    seen, held = weeks * 7, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        noise = [rng.normal()]
        while len(noise) < seen + DAYS:
            noise.append(persistence * noise[-1] + np.sqrt(1 - persistence**2) * rng.normal())
        weekday = (rng.integers(7) + np.arange(seen + DAYS)) % 7
        level = np.exp(0.25 * np.array(noise)) * np.where(weekday < 5, 1, 0.3)
        found = forecast(days(level[:seen]), today=TODAY)
        held += found.low <= level[seen:].sum() <= found.high
    assert 176 <= held <= 198

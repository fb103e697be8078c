"""The day that a question asks about."""

from __future__ import annotations

from datetime import date

import pytest

from extensions.planned_agent.as_of import parse_as_of


@pytest.mark.parametrize(
    ("question", "day"),
    [
        ("What was the return window as of 2025-03-14?", date(2025, 3, 14)),
        ("What was the return window as of March 2025?", date(2025, 3, 31)),
        ("As of the 3rd of May 2024, how long was the warranty?", date(2024, 5, 3)),
        ("Which policy was in force on March 3, 2024?", date(2024, 3, 3)),
        ("Which prices were valid in 2024?", date(2024, 12, 31)),
        ("as at 28 February 2023", date(2023, 2, 28)),
        ("What is the return window?", None),
        ("What did we order in 2024?", None),
        ("Is the price list of March 2024 still current?", None),
        ("What was it as of 31 February 2024?", None),
        ("as of 2024-13-01", None),
        ("as of now", None),
        ("as of 0000", None),
        ("as of now, and valid on 3 Sept. 2024", date(2024, 9, 3)),
    ],
)
def test_only_a_day_that_is_asked_for_counts(question: str, day: date | None) -> None:
    assert parse_as_of(question) == day

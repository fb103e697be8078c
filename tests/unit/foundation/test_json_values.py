"""JSON of others: no number gets in that a store could not hold, and none that it can is refused."""

from __future__ import annotations

import pytest

from foundation.text.json_values import read_object


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63)])
def test_the_largest_and_the_smallest_number_of_64_bits_are_read(number: int) -> None:
    assert read_object(f'{{"a": {number}}}') == {"a": number}


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1])
def test_the_first_number_beyond_64_bits_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=f"the number {number} has more than 64 bits"):
        read_object(f'{{"a": {number}}}')

"""Filters as values: what they mean, what is refused when they are made, and what decides nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from foundation.errors import InvalidRequest
from retrieval.documents import KNOWN as TAKEN
from retrieval.documents import Source
from retrieval.filters import (
    AllOf,
    AnyOf,
    Between,
    OneOf,
    Where,
    equals,
    matches,
    parse_value,
    restored_attributes,
    simplify,
    stored_attributes,
)
from retrieval.index.attributes import Attributes
from tests.contracts.filter_cases import CASES, KNOWN


@pytest.mark.parametrize("case", CASES)
def test_what_a_filter_means(case: str) -> None:
    where, expected = CASES[case]
    assert {name for name, known in KNOWN.items() if matches(where, known)} == expected


@pytest.mark.parametrize("case", CASES)
def test_columns_of_many_documents_say_the_same(case: str) -> None:
    where, _ = CASES[case]
    wanted = simplify(where)
    if not isinstance(wanted, bool):
        fit = Attributes(list(KNOWN.values())).fit(wanted)
        assert fit.tolist() == [matches(where, known) for known in KNOWN.values()]


@pytest.mark.parametrize("case", CASES)
def test_leaving_out_what_decides_nothing_changes_nothing(case: str) -> None:
    where, expected = CASES[case]
    simpler = simplify(where)
    found = {name for name, known in KNOWN.items() if simpler is True or (simpler and matches(simpler, known))}
    assert found == expected


@pytest.mark.parametrize(
    ("where", "simpler"),
    [
        (None, True),
        (AllOf(()), True),
        (AnyOf(()), False),
        (OneOf("a", ()), False),
        (AllOf((equals("a", 1), AllOf(()))), equals("a", 1)),
        (AnyOf((equals("a", 1), AllOf(()))), True),
        (AllOf((equals("a", 1), AnyOf(()))), False),
        (AnyOf((AnyOf(()), OneOf("a", ()))), False),
    ],
)
def test_parts_that_decide_nothing_are_left_out(where: Where | None, simpler: Where | bool) -> None:
    assert simplify(where) == simpler


@pytest.mark.parametrize(
    "make",
    [
        lambda: OneOf("a", (1, "1")),
        lambda: Between("a", "x", "y"),
        lambda: Between("a"),
        lambda: Between("a", 1, date(2026, 1, 1)),
        lambda: Between("a", low=True),
        lambda: equals("a", float("nan")),
        lambda: equals("a", datetime(2026, 1, 1, tzinfo=UTC)),
        lambda: equals("a", ["list"]),
        lambda: Source("a", "acme", attributes={"": 1}),
        lambda: Source("a", "acme", attributes={"x": float("inf")}),
        *(lambda name=name: Source("a", "acme", attributes={name: "x"}) for name in TAKEN),
    ],
)
def test_what_cannot_be_compared_is_refused_when_it_is_made(make: Any) -> None:
    with pytest.raises(InvalidRequest):
        make()


def test_attributes_come_back_from_a_store_as_they_were() -> None:
    known = {"a": "x", "b": 2.5, "c": True, "d": date(2026, 1, 15), "e:f": "1", "g": 3}
    back = restored_attributes(stored_attributes(known))
    assert (back, type(back["c"])) == (known, bool)


def test_json_has_no_days_so_a_text_that_spells_one_is_one() -> None:
    assert [parse_value(value) for value in ("2026-01-15", "2026-13-15", "20260115xx", 5, True)] == [
        date(2026, 1, 15), "2026-13-15", "20260115xx", 5, True,
    ]  # fmt: skip

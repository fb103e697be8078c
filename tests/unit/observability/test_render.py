"""What `make costs` shows."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from observability.reports.trace_tables import totals_table
from observability.stores.costs import Total


def shown(totals: list[Total], by: str) -> list[list[Any]]:
    table = totals_table(totals, by)
    return [list(row) for row in zip(*(column.cells for column in table.columns), strict=True)]


def test_the_whole_stands_under_the_rows_and_is_a_lower_bound_where_a_price_is_missing() -> None:
    dear = Total("a", Decimal("0.1"), 2, 0, 1.0, 10, 1)
    partly = Total("b", Decimal("0.00000001"), 3, 1, 2.0, 20, 2)
    unknown = Total("c", Decimal(0), 1, 1, 0.5, 0, 0)
    rows = shown([dear, partly, unknown], "model")
    assert [row[0] for row in rows] == ["a", "b", "c", "whole"]
    assert [row[2] for row in rows] == ["0.10000000", "> 0.00000001", "unpriced", "> 0.10000001"]
    assert rows[-1][1:] == ["6", "> 0.10000001", "2", "3.50", "30 + 3"]


def test_days_stand_in_their_order() -> None:
    days = [
        Total(day, Decimal(usd), 1, 0, 0.0, 0, 0)
        for day, usd in (("2026-02-02", 3), ("2026-01-31", 2), ("2026-02-01", 1))
    ]
    assert [row[0] for row in shown(days, "day")] == ["2026-01-31", "2026-02-01", "2026-02-02", "whole"]


def test_nothing_spent_is_a_whole_of_nothing() -> None:
    assert [row[2] for row in shown([], "tenant")] == ["0.00000000"]

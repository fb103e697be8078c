"""What `make costs` shows, and how figures and money are written."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter

from observability.evaluation.baseline import Difference
from observability.rendering import formatting
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


def test_money_has_no_exponent_in_reports_and_in_the_api() -> None:
    assert [formatting.figure(value) for value in (5.072e-06, 0.0, 123456.7, None)] == [
        "0.000005072",
        "0",
        "123500",
        "",
    ]
    difference = Difference(a=1e-7, b=2e-7, diff=1e-7, low=5e-8, high=2e-7, n=20, threshold=1e-7)
    assert not any("e-" in cell for cell in difference.cells)
    total = Total("north", Decimal("4.2E-8"), 1, 0, 0.0, 1, 1)
    assert TypeAdapter(Total).dump_python(total, mode="json")["usd"] == "0.000000042"

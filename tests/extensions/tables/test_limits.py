"""Tables that are too large or too odd, and queries that would run for minutes: bounded, and a sentence each."""

from __future__ import annotations

import gc
import sqlite3
from pathlib import Path

import pytest

from extensions.tables.documents import OPEN
from foundation.errors import DocumentRefused
from retrieval.documents import ParseLimits
from retrieval.ingest.parsing import parse_here
from tests.extensions.tables.test_tables import SHOP, desk

NESTED = """<table><tr><th>item</th><th>amount</th></tr><tr><td>A</td><td>5</td></tr>
<tr><td>B<table><tr><th>part</th><th>amount</th></tr><tr><td>b1</td><td>3</td></tr><tr><td>b2</td><td>4</td></tr></table></td><td>7</td></tr></table>"""
MERGED = """<table><tr><th>region</th><th>item</th><th>amount</th></tr><tr><td rowspan="2">North</td><td>A</td><td>5</td></tr>
<tr><td>B</td><td>7</td></tr><tr><td colspan="2">Rest</td><td>9</td></tr></table>"""


def test_a_table_in_a_cell_is_one_of_its_own_and_its_rows_are_counted_nowhere_else(tmp_path: Path) -> None:
    with desk(tmp_path) as made:
        made.add("nested.html", NESTED)
        assert made.ask("nested.html") == [["b1", "3"], ["b2", "4"]]
        assert made.ask("nested.html", calculate="sum", measure="amount") == [["2", "7"]]
        assert "has 1. Name one of them: nested.html#1" in made.refusal("nested.html#2")


def test_the_name_in_a_merged_cell_stands_in_each_of_its_rows(tmp_path: Path) -> None:
    with desk(tmp_path) as made:
        made.add("merged.html", MERGED)
        north = [{"column": "region", "value": "North"}]
        assert made.ask("merged.html", calculate="sum", measure="amount", where=north) == [["2", "12"]]
        assert made.ask("merged.html", calculate="sum", measure="amount") == [["3", "21"]]


def test_a_merged_cell_of_a_table_around_another_names_no_single_row(tmp_path: Path) -> None:
    around = """<p>Rooms of the inn.</p><table><tr><th>room</th><th>price</th></tr><tr><td rowspan="2">Attic</td><td>80</td></tr><tr><td>95</td></tr>
    <tr><td>Cellar</td><td><table><tr><th>day</th><th>fee</th></tr><tr><td>Monday</td><td>12</td></tr></table></td></tr></table>"""
    with desk(tmp_path) as made:
        made.add("inn.html", around)
        assert made.ask("inn.html") == [["Monday", "12"]]
    assert "Attic" in parse_here(around.encode(), "inn.html", ParseLimits()).text


@pytest.mark.parametrize(
    "content", ["<p>Words.</p><table></table><table><tr></tr></table>", "<table><tr><td>" * 60 + "x"]
)
def test_a_table_of_nothing_is_none(tmp_path: Path, content: str) -> None:
    with desk(tmp_path) as made:
        made.add("empty.html", content)
        assert "There is no table" in made.refusal("empty.html", calculate="count")


def test_few_of_a_thousand_small_tables_have_a_database_at_once(tmp_path: Path) -> None:
    small = "\n\n".join(f"| item | amount |\n|---|---|\n| lamp | {number} |\n| desk | 5 |" for number in range(1_000))
    with desk(tmp_path) as made:
        before = _count_databases()
        made.add("small.md", f"# Lamps\n\n{small}")
        made.call("find_tables", about="lamps")
        for number in range(100):
            assert made.ask(f"small.md#{number + 1}", columns=["amount"], limit=1) == [[str(number)]]
        assert _count_databases() - before < 2 * OPEN  # stores open some, too


def _count_databases() -> int:
    gc.collect()
    return sum(isinstance(each, sqlite3.Connection) for each in gc.get_objects())


def test_a_million_rows_are_refused_with_what_to_do_when_the_document_is_added() -> None:
    rows = "".join(f"i{number},{number}\n" for number in range(1_000_000))
    with pytest.raises(DocumentRefused, match=r'"million.csv" holds more than 5,000,000 characters of text. Split it'):
        parse_here(f"item,amount\n{rows}".encode(), "million.csv", ParseLimits())


def test_a_million_rows_of_a_database_are_added_where_they_are_and_few_are_shown(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.sqlite") as shop:
        shop.execute("CREATE TABLE orders (tenant TEXT, team TEXT, total REAL)")
        shop.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) "
            "INSERT INTO orders SELECT 'alder', NULL, i FROM n"
        )
    shop.close()
    with desk(tmp_path, "timeout_s = 60\n" + SHOP) as made:
        assert made.ask("shop.orders", calculate="sum", measure="total") == [["1000000", "500000500000"]]
        assert len(made.ask("shop.orders", limit=50)) == 50


def test_a_query_of_a_document_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    with desk(tmp_path, "timeout_s = 0.000001\n") as made:
        made.add("long.csv", "item,amount\n" + "".join(f"item {row},{row}\n" for row in range(5_000)))
        refusal = made.refusal(
            "long.csv", columns=["item"], where=[{"column": "item", "compare": "contains", "value": "x"}]
        )
    assert refusal == (
        "The query of long.csv#1 took longer than 1e-06 s and was given up. Ask for fewer rows, by a condition."
    )

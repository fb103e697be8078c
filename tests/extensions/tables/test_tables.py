"""Questions to tables: what the rows say, or a sentence why not; never a number that only looks right."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from langchain_core.tools import ToolException

from extensions.tables.asking import ask
from extensions.tables.databases import Database, DatabaseOptions
from extensions.tables.figures import find_mark, find_unit, read_figure
from extensions.tables.query import Filter, Query
from extensions.tables.reading import read_sheets
from extensions.tables.tools import Options, Tables
from foundation.components import Context, stores_of
from foundation.errors import DocumentRefused, InvalidRequest, InvalidSetting, StoreUnavailable
from foundation.settings import Part
from foundation.types import Principal, Scope
from orchestration.build import open_agent
from orchestration.calls import metadata_of
from orchestration.contract import ToolParts
from orchestration.requests import AnswerRequest
from orchestration.run import answering
from retrieval.documents import Parsed, ParseLimits, Source
from retrieval.formats.text_blocks import Draft
from retrieval.ingest.parsing import parse_here
from retrieval.ingest.preparation import Item
from serving.settings import load
from serving.wiring import System, open_system
from tests import services
from tests.architecture.worst_texts import GROWTH, growth
from tests.contracts.test_tools import ARGUMENTS, CHECKS, CUSTOMER, Check
from tests.doubles.stacks import stack
from tests.doubles.strong import calls, strong

TOOLS = """
[orchestration.policy.roles]
reader = ["find_tables", "query_table"]
[[orchestration.tools]]
use = "tables"
"""
SALES = """region,product,units,price (USD),sold
North,Lamp,10,"1,200.50",2026-01-10
North,Chair,5,80.25,2026-01-11
South,Lamp,7,95.00,2026-02-01
South,Desk,2,80.25,2026-02-03
"""
ILKA = Principal("ilka", "alder", frozenset({"reader"}), frozenset({"staff"}))
BRAM = Principal("bram", "bexley", frozenset({"reader"}))
LIMITS = ParseLimits()


class Desk:
    def __init__(self, system: System) -> None:
        self.system = system
        self._tools = {tool.name: tool for tool in system.orchestration.tools}

    def add(self, name: str, content: str | bytes, **about: Any) -> None:
        source = Source(name, about.pop("tenant", "alder"), **about)
        content = content.encode() if isinstance(content, str) else content
        report = self.system.retrieval.ingestor.ingest([Item(source, content, name)])
        assert not report.refused, report.refused

    def call(self, tool: str, caller: Principal | None = ILKA, **arguments: Any) -> Any:
        request = {"type": "tool_call", "id": "1", "name": tool, "args": arguments}
        return self._tools[tool].invoke(request, {"configurable": {"principal": caller} if caller else {}})

    def ask(self, table: str = "sales.csv", caller: Principal = ILKA, **query: Any) -> list[list[str]]:
        rows = self.call("query_table", caller, table=table, **query).artifact["rows"]
        return [[*row.values()] for row in rows]

    def refusal(self, table: str = "sales.csv", caller: Principal = ILKA, **query: Any) -> str:
        with pytest.raises(ToolException) as refused:
            self.call("query_table", caller, table=table, **query)
        return str(refused.value)


@contextmanager
def desk(folder: Path, more: str = "", chat: str = 'use = "scripted"') -> Iterator[Desk]:
    with open_system(load(stack(folder, TOOLS + more, extensions=["tables"], chat=chat))) as system:
        yield Desk(system)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk(tmp_path_factory.mktemp("sales")) as made:
        yield made


@pytest.fixture
def sales(opened: Desk) -> Desk:
    """One system for all tests that only add documents, each with these sales."""
    opened.add("sales.csv", SALES)
    return opened


def test_each_kind_of_question_has_its_rows(sales: Desk) -> None:
    assert sales.ask(calculate="sum", measure="price (USD)") == [["4", "1456"]]
    assert sales.ask(calculate="average", measure="units", group_by=["region"]) == [
        ["North", "2", "7.5"],
        ["South", "2", "4.5"],
    ]
    assert sales.ask(calculate="count", where=[{"column": "product", "value": "LAMP"}]) == [["2"]]
    assert sales.ask(columns=["product"], order="largest first", measure="price (USD)", limit=1) == [["Lamp"]]
    assert sales.ask(
        columns=["product"], where=[{"column": "sold", "compare": "is at least", "value": "2026-02-01"}]
    ) == [
        ["Lamp"],
        ["Desk"],
    ]
    assert sales.ask(calculate="sum", measure="units", group_by=["region"], order="largest first", limit=1) == [
        ["North", "2", "15"]
    ]


def test_rows_that_share_the_last_place_are_all_shown(sales: Desk) -> None:
    assert sales.ask(columns=["product"], order="smallest first", measure="price (USD)", limit=1) == [
        ["Chair"],
        ["Desk"],
    ]


def test_the_answer_says_its_query_its_rows_and_where_they_stand(sales: Desk) -> None:
    message = sales.call(
        "query_table",
        table="sales.csv#1",
        calculate="sum",
        measure="units",
        where=[{"column": "region", "value": "south"}],
    )
    assert message.artifact["row_numbers"] == [3, 4]
    assert 'sum("units, figure")' in message.artifact["query"]
    assert message.artifact["values"] == ["south"]
    (passage,) = message.artifact["passages"]
    assert "Desk" in sales.system.retrieval.ledger.hits([passage], Scope("alder"), as_of=None)[passage].chunk.text


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"calculate": "sum", "measure": "margin"}, "neither a declared measure of sales.csv#1 nor one of its columns"),
        ({"calculate": "sum", "measure": "product"}, "has no numbers"),
        ({"calculate": "sum"}, "Of what shall the sum be?"),
        ({"calculate": "declared", "measure": "units"}, 'No measure "units" is declared'),
        ({"columns": ["colour"]}, 'no column "colour". Its columns: region, product'),
        ({"where": [{"column": "product", "value": "toaster"}]}, 'No row of sales.csv#1 has "toaster"'),
        ({"where": [{"column": "price (USD)", "compare": "is below", "value": "90 EUR"}]}, "the query says EUR"),
        ({"where": [{"column": "product", "compare": "is above", "value": "90"}]}, "cannot be told"),
        ({"order": "largest first"}, "By which column"),
        ({"group_by": ["region"]}, "Rows are grouped to calculate something"),
        (
            {
                "calculate": "sum",
                "measure": "units",
                "where": [{"column": "units", "compare": "is above", "value": "99"}],
            },
            "nothing to calculate",
        ),
    ],
)
def test_what_the_table_does_not_say_is_refused_in_a_sentence(sales: Desk, query: dict[str, Any], why: str) -> None:
    assert why in sales.refusal(**query)


TRAPS = {
    "words.csv": ("item,price\nA,5\nB,on request\nC,7\n", "on request"),
    "units.csv": ("item,weight\nA,3 kg\nB,500 g\nC,1 kg\n", "several units (g, kg)"),
    "unclear.csv": ('item,amount\nA,"1,200"\nB,"3,400"\n', "decimal comma"),
    "wide.csv": ("item,amount\nA,5\nB,7,9\n", "row 2 has more cells than the head has names"),
    "years.csv": ("2023,2024\n5,6\n7,8\n", "it has no head"),
    "total.csv": ("item,amount,pieces\nA,5,1\nB,7,3\nAll,12,4\n", "the sums of rows above it"),
    "twice.html": (
        """<table><tr><th>item</th><th>amount</th><th>amount</th></tr>
        <tr><td>A</td><td>5</td><td>6</td></tr><tr><td>B</td><td>5</td><td>6</td></tr></table>""",
        'several columns are named "amount"',
    ),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_sum_that_would_only_look_right_is_refused(sales: Desk, name: str) -> None:
    content, why = TRAPS[name]
    sales.add(name, content)
    measure = {"words.csv": "price", "units.csv": "weight", "years.csv": "column 1"}.get(name, "amount")
    assert why in sales.refusal(name, calculate="sum", measure=measure)


def test_a_row_of_totals_counts_as_the_query_says(sales: Desk) -> None:
    sales.add("total.csv", TRAPS["total.csv"][0])
    assert sales.ask("total.csv", calculate="sum", measure="amount", total_row="left out") == [["2", "12"]]
    assert sales.ask("total.csv", calculate="sum", measure="amount", total_row="counted") == [["3", "24"]]
    only = [{"column": "item", "compare": "differs from", "value": "All"}]
    assert sales.ask("total.csv", calculate="largest", measure="amount", where=only) == [["2", "7"]]


def test_cells_without_a_figure_are_told(sales: Desk) -> None:
    sales.add("gaps.csv", "item,amount\nA,5\nB,n/a\nC,\nD,4\n")
    message = sales.call("query_table", table="gaps.csv", calculate="average", measure="amount")
    assert message.artifact["rows"] == [{"rows": "4", "average of amount": "4.5"}]
    assert '2 of the rows have no figure in "amount"' in message.text


def test_the_decimal_mark_is_the_documents_or_the_operators(tmp_path: Path) -> None:
    with desk(tmp_path, 'decimal_mark = "."\n') as made:
        made.add("german.csv", "Ware;Preis\nLampe;1.200,50 EUR\nStuhl;3.400 EUR\n")
        assert made.ask("german.csv", calculate="sum", measure="Preis") == [["2", "4600.5"]]
        made.add("unclear.csv", TRAPS["unclear.csv"][0])
        assert made.ask("unclear.csv", calculate="sum", measure="amount") == [["2", "4600"]]


def test_a_table_with_more_rows_than_a_document_may_have_is_refused_when_it_is_added() -> None:
    limits = ParseLimits(blocks=3_000)
    rows = "".join(f"item {row},{row}\n" for row in range(2_999))
    (sheet,) = read_sheets(parse_here(f"item,amount\n{rows}".encode(), "long.csv", limits))
    assert sum(filter(None, sheet.columns[1].numbers)) == sum(range(2_999))
    with pytest.raises(DocumentRefused, match="holds more than 3,000 paragraphs and rows"):
        parse_here(f"item,amount\n{rows}{rows}".encode(), "long.csv", limits)


def test_nobody_sees_tables_that_they_may_not_read(sales: Desk) -> None:
    sales.add("boards.csv", SALES, groups=frozenset({"board"}))
    for caller, table in ((BRAM, "sales.csv"), (ILKA, "boards.csv")):
        assert "There is no table" in sales.refusal(table, caller)
        assert table not in sales.call("find_tables", caller, about="region product units price").text
    assert "sales.csv#1" in sales.call("find_tables", about="region product units price").text
    with pytest.raises(ToolException, match="Nobody is signed in"):
        sales.call("query_table", None, table="sales.csv")


def test_a_deleted_or_changed_document_takes_its_tables_along(sales: Desk) -> None:
    assert sales.ask(calculate="count") == [["4"]]
    sales.add("sales.csv", SALES + "West,Lamp,1,5.00,2026-03-01\n")
    assert sales.ask(calculate="count") == [["5"]]
    sales.system.retrieval.ingestor.delete("sales.csv", "alder", scope=None)
    assert "There is no table" in sales.refusal()
    assert sales.call("find_tables", about="region product units price").text.count("Table sales.csv") == 0


def test_an_answer_cites_the_rows_by_their_passage(tmp_path: Path) -> None:
    with desk(tmp_path) as made:
        made.add("sales.csv", SALES)
        question = {"table": "sales.csv", "calculate": "sum", "measure": "units"}
        chat = strong(calls(("query_table", question)), "In all 24 units were sold [1].")
        system = made.system
        settings = system.settings.orchestration.model_copy(update={"agent": Part(use="tool_calling")})
        agent = open_agent(settings, system.hooks.assembly, replace(system.parts, chat=chat))
        answer = asyncio.run(answering.answer(agent, AnswerRequest(question="How many units were sold?"), ILKA))
    assert answer.status == "answered"
    assert answer.text == "In all 24 units were sold [1]."
    assert [citation.uri for citation in answer.citations] == ["sales.csv"]
    assert not answer.unsupported


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_its_tools_keep_the_promises_of_a_tool(sales: Desk, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    sales.add("sales.csv", SALES, tenant=CUSTOMER.tenant)
    monkeypatch.setitem(ARGUMENTS, "find_tables", {"about": "region product units price"})
    monkeypatch.setitem(ARGUMENTS, "query_table", {"table": "sales.csv"})
    for tool in sales.system.orchestration.tools:
        check(tool, ARGUMENTS[tool.name])


MEASURES = """
[revenue]
table = "sales.csv"
formula = "sum(units * 'price (USD)')"
unit = "USD"
[secret]
table = "sales.csv"
formula = "sum(units) / count(units)"
roles = ["finance"]
"""


def test_a_declared_measure_is_calculated_as_declared_for_those_who_may_see_it(tmp_path: Path) -> None:
    (tmp_path / "measures.toml").write_text(MEASURES)
    with desk(tmp_path, 'measures = "measures.toml"\n') as made:
        made.add("sales.csv", SALES)
        assert made.ask(calculate="declared", measure="revenue", where=[{"column": "region", "value": "South"}]) == [
            ["2", "825.5"]
        ]
        assert 'calculate="declared"' in made.refusal(calculate="sum", measure="revenue")
        assert "not for this person" in made.refusal(calculate="declared", measure="secret")
        found = made.call("find_tables", about="region product units price").text
        assert 'measure "revenue" (USD)' in found
        assert "secret" not in found
        finance = Principal("fay", "alder", frozenset({"reader", "finance"}))
        assert made.ask(caller=finance, calculate="declared", measure="secret") == [["4", "6"]]


@pytest.mark.parametrize(
    "formula", ["__import__('os').system('x')", "units", "sum(units", "sum(sum(units))", "max(units)"]
)
def test_a_formula_that_is_none_stops_the_start(tmp_path: Path, formula: str) -> None:
    (tmp_path / "measures.toml").write_text(f'[odd]\ntable = "a.csv"\nformula = "{formula}"\n')
    with pytest.raises(InvalidSetting, match="odd"), desk(tmp_path, 'measures = "measures.toml"\n'):
        pass


SHOP = """
[[orchestration.tools.databases]]
name = "shop"
file = "shop.sqlite"
[orchestration.tools.databases.tables.orders]
tenant_column = "tenant"
group_column = "team"
units = { total = "USD" }
"""


@pytest.mark.parametrize(("value", "found"), [("Ärzte", "Ärzte"), ("ärzte", "Ärzte"), ("straße 5", "STRAßE 5")])
@pytest.mark.parametrize("compare", ["equals", "contains"])
def test_capitals_of_every_alphabet_are_found_in_a_database(
    tmp_path: Path, value: str, found: str, compare: str
) -> None:
    with sqlite3.connect(tmp_path / "shop.sqlite") as shop:
        shop.execute("CREATE TABLE orders (id TEXT, tenant TEXT, team TEXT, total REAL)")
        shop.executemany("INSERT INTO orders VALUES (?, 'alder', NULL, 1)", [("Ärzte",), ("STRAßE 5",), (None,)])
    shop.close()
    with desk(tmp_path, SHOP) as made:
        where = [{"column": "id", "compare": compare, "value": value}]
        assert made.ask("shop.orders", columns=["id"], where=where) == [[found]]


def test_a_database_is_read_by_the_rows_of_the_caller_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.sqlite") as shop:
        shop.execute('CREATE TABLE orders (id TEXT, tenant TEXT, team TEXT, total REAL, "a?b" TEXT)')
        rows = [
            ("1", "alder", None, 5.5),
            ("2", "alder", "board", 9.0),
            ("3", "bexley", None, 7.0),
            ("4", "alder", "staff", 1.0),
        ]
        shop.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, '')", rows)
    shop.close()
    with desk(tmp_path, SHOP) as made:
        assert made.ask("shop.orders", calculate="sum", measure="total") == [["2", "6.5"]]
        assert made.ask("shop.orders", BRAM, calculate="sum", measure="total") == [["1", "7"]]
        assert made.ask("shop.orders", columns=["id"], order="largest first", measure="total") == [["1"], ["4"]]
        assert "Its columns: id, total." in made.refusal("shop.orders", columns=["tenant"])
        assert "Table shop.orders: id (text), total (figures; USD)" in made.call("find_tables", about="orders").text
        connection = made.system.orchestration.tools[0]
        assert metadata_of(connection, "effect", True) is False


def test_a_postgresql_database_is_asked_in_the_same_way_and_cannot_be_written_to(tmp_path: Path) -> None:
    dsn = services.postgres()
    with psycopg.connect(dsn, autocommit=True) as shop:
        shop.execute("CREATE SCHEMA IF NOT EXISTS asked")
        shop.execute("CREATE TABLE asked.orders (id text, tenant text, team text, total numeric(8, 2), placed date)")
        rows = [
            ("1", "alder", None, "5.55", "2026-01-01"),
            ("2", "alder", "board", "9", None),
            ("3", "bexley", None, "7", None),
        ]
        shop.cursor().executemany("INSERT INTO asked.orders VALUES (%s, %s, %s, %s, %s)", rows)
    database = Database(
        DatabaseOptions.model_validate({"name": "shop", "url": dsn, "tables": {"asked.orders": OWNED}}), 5
    )
    try:
        (relation,) = database.relations(ILKA)
        with database.connect() as run:
            total = Query(table=relation.label, calculate="sum", measure="total")
            assert ask(relation, total, lambda _: None, run).rows == [(1, Decimal("5.55"))]
            day = Query(
                table=relation.label,
                columns=["id"],
                where=[Filter(column="placed", compare="is below", value="2026-02-01")],
            )
            assert ask(relation, day, lambda _: None, run).rows == [("1",)]
            with pytest.raises(StoreUnavailable, match="read-only"):
                run("DELETE FROM asked.orders", [])
        with (
            Database(database.options, 0.2).connect() as run,
            pytest.raises(InvalidRequest, match="took longer than"),
        ):
            run("SELECT pg_sleep(60)", [])
    finally:
        with psycopg.connect(dsn, autocommit=True) as shop:
            shop.execute("DROP SCHEMA asked CASCADE")


OWNED = {"tenant_column": "tenant", "group_column": "team"}


def test_a_query_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.sqlite") as shop:
        shop.execute("CREATE TABLE one (n INTEGER)")
        shop.executemany("INSERT INTO one VALUES (?)", [(number,) for number in range(400)])
        shop.execute(
            "CREATE VIEW orders AS SELECT 'alder' tenant, '' team, a.n * b.n * c.n * d.n total, 'x' id FROM one a, one b, one c, one d"
        )
    shop.close()
    with desk(tmp_path, "timeout_s = 0.2\n" + SHOP) as made:
        assert "took longer than 0.2 s and was given up" in made.refusal(
            "shop.orders", calculate="sum", measure="total"
        )


def test_a_database_that_says_nobodys_rows_is_refused(tmp_path: Path) -> None:
    bad = '[[orchestration.tools.databases]]\nname = "shop"\nfile = "s.sqlite"\n[orchestration.tools.databases.tables.orders]\nabout = "x"\n'
    with pytest.raises(InvalidSetting, match="has to say who may see its rows"), desk(tmp_path, bad):
        pass


def test_a_table_over_two_pages_is_one_and_one_in_parts_is_not_counted() -> None:
    def pages(*tables: tuple[list[list[str]], bool, int]) -> Parsed:
        draft = Draft("a.pdf", ParseLimits())
        for rows, header, page in tables:
            draft.table(rows, header=header, page=page)
        return draft.finish()

    head = ["Item", "Pieces"]
    (whole,) = read_sheets(pages(([head, ["A", "1"], ["B", "2"]], True, 1), ([head, ["C", "3"]], True, 2)))
    assert [row.cells[0] for row in whole.rows] == ["A", "B", "C"]
    parts = read_sheets(pages(([head, ["A", "1"], ["B", "2"]], True, 1), ([["C", "3", "4"]], False, 1)))
    assert ["cut into parts" in part.trouble or "no head" in part.trouble for part in parts] == [True, True]


def test_figures_units_and_decimal_marks() -> None:
    cells = [
        "1,299.00 EUR",
        "$ 5",
        "-3.5 %",
        "\u22122",
        "CHF 7",
        "12 000",
        "QL-20",
        "2026-01-15",
        "12-month",
        "ABC 20",
        "5 of 10",
        "+49 30 123",
    ]
    values = [(figure.value("."), figure.unit) if (figure := read_figure(cell)) else None for cell in cells]
    assert [value and (float(value[0]), value[1]) if value and value[0] is not None else None for value in values] == [
        (1299.0, "EUR"), (5.0, "$"), (-3.5, "%"), (-2.0, ""), (7.0, "CHF"), (12000.0, ""), *[None] * 6
    ]  # fmt: skip
    marks = [["1,200"], ["1,200", "5.25"], ["1.200,5"], ["0,125"], ["1.234.567"], ["1.5", "1,5"]]
    found = [find_mark(filter(None, map(read_figure, column))) for column in marks]
    assert found == ["", ".", ",", ",", ",", None]
    assert [find_unit(units) for units in (["day", "days"], ["kg", "g"], [], ["", "EUR"])] == ["day", None, "", None]


def test_without_a_system_the_tools_say_that_there_are_no_documents(tmp_path: Path) -> None:
    tables = Tables(Options(), Context(data_dir=tmp_path))
    assert not isinstance(Context(data_dir=tmp_path), ToolParts)
    assert "There is no table" in tables.find_tables("prices", {"configurable": {"principal": ILKA}})[0]


@pytest.mark.parametrize(
    "head",
    ["row_number,amount", '"amount, figure",amount', 'amount,"amount, unit"', "amount,AMOUNT", '"a""; --",amount'],
)
def test_any_names_of_columns_are_columns(sales: Desk, head: str) -> None:
    sales.add("names.csv", f"{head}\n1,2\n5,3\n")
    assert len(sales.ask("names.csv")) == 2


def test_a_table_too_wide_for_a_database_hides_no_other(sales: Desk) -> None:
    sales.add("wide.csv", "\n".join(",".join(f"price {place}" for place in range(700)) for _ in range(3)))
    assert "sales.csv#1" in sales.call("find_tables", about="price").content
    assert "wide.csv" in sales.refusal("wide.csv")


def test_a_long_table_and_a_long_cell_are_read_in_a_time_that_grows_with_them() -> None:
    def read(rows: str) -> None:
        (sheet,) = read_sheets(parse_here(f"a,b\n{rows}".encode(), "long.csv", LIMITS))
        assert sheet.totals == ()

    assert growth(read, "", "7,3\n", "") <= GROWTH
    for before, after in (("a", "b"), ("1", "x1"), ("-", "x")):
        assert growth(read_figure, before, " ", after) <= GROWTH


def test_the_tools_say_that_they_keep_nothing_of_people() -> None:
    assert stores_of("orchestration.tools", Part(use="tables")) == ()

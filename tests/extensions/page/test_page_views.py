"""Parts of the page without a browser: what the fields of a tool call give back, and the figures beside a plot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from nicegui import Client, ui
from pydantic import TypeAdapter

from extensions.page.views.arguments import Arguments
from extensions.page.views.markdown import show_markdown
from extensions.page.views.page_picture import find_cited_page, show_page_map
from extensions.page.views.paper import CELLS, WIDEST, Paper
from extensions.page.views.plots import Plot
from retrieval.documents import Block, Box, Parsed, ParseLimits, Table
from retrieval.ingest.parsing import parse_here
from serving.api.documents import DocumentText


@pytest.fixture(autouse=True)
def client() -> Iterator[Client]:
    with Client(ui.page("")) as client:
        yield client
    client.delete()  # NiceGUI holds it in one table with the clients of servers of other tests in this process


def write(client: Client, text: str) -> None:
    (field,) = (one for one in client.elements.values() if isinstance(one, ui.textarea))
    field.value = text


@pytest.mark.parametrize(
    ("kind", "typed", "value"),
    [
        (str, "12", "12"),
        (str | None, " as typed\n", " as typed\n"),
        (Literal["all", "1"] | None, "1", "1"),
        (list[str] | None, ' ["a"]\n', ["a"]),
        (dict[str, str], '{"a": "b"}', {"a": "b"}),
        (int | None, " 12 ", 12),
    ],
)
def test_what_is_typed_into_an_empty_field_is_a_text_only_where_texts_are_taken(
    client: Client, kind: Any, typed: str, value: object
) -> None:
    form = Arguments({"properties": {"x": TypeAdapter(kind).json_schema()}}, {})
    assert form.values() == {}
    write(client, typed)
    assert form.values() == {"x": value}


def test_a_type_may_be_a_list_of_names(client: Client) -> None:
    form = Arguments({"properties": {"x": {"type": ["string", "null"]}}}, {})
    write(client, "12")
    assert form.values() == {"x": "12"}


@pytest.mark.parametrize("given", [None, 7])
def test_one_way_of_a_value_may_be_any_at_all(given: object) -> None:
    form = Arguments({"properties": {"x": {"anyOf": [{"enum": ["a"]}, True]}}}, {"x": given})
    assert form.values() == {"x": given}


@pytest.mark.parametrize("given", ["two lines\n\n", "  ", "", 7, 1.5, True, None, [" a "], {"b": [None]}])
def test_an_untouched_argument_is_what_was_shown(given: object) -> None:
    assert Arguments({}, {"x": given}).values() == {"x": given}


def test_an_argument_that_the_schema_leaves_open_is_kept_when_another_is_changed(client: Client) -> None:
    form = Arguments({"properties": {"x": {}}, "additionalProperties": True}, {"x": 1, "other": "a"})
    assert form.values() == {"x": 1, "other": "a"}


def test_an_emptied_field_is_left_out(client: Client) -> None:
    form = Arguments({}, {"x": "text"})
    write(client, " \n")
    assert form.values() == {}


@pytest.mark.parametrize(
    ("highest", "says"),
    [
        (0.0, "highest 0"),
        (0.000028, "highest 0.000028"),
        (0.1234, "highest 0.123"),
        (99.4, "highest 99.4"),
        (1_000, "highest 1,000"),
        (1234.5, "highest 1,234"),
    ],
)
def test_the_highest_figure_of_a_plot_is_written_out(client: Client, highest: float, says: str) -> None:
    Plot("Answers").show(["Monday", "Tuesday"], {"": ("red", [0.0, highest])}, says="some")
    assert says in [getattr(one, "_text", "") for one in client.elements.values()]


def test_cited_words_that_were_recognised_are_marked_at_their_place_on_the_page(client: Client) -> None:
    boxes = [Box(0, 5, 1, 0, 0, 90, 20), Box(6, 11, 2, 100, 500, 190, 520), Box(12, 17, 2, 200, 500, 290, 520)]
    assert find_cited_page(boxes, 0, 5) == ([boxes[0]], [boxes[0]])
    words, cited = find_cited_page(boxes, 12, 30)
    assert (words, cited) == (boxes[1:], boxes[2:])
    assert find_cited_page(boxes, 20, 30) == ([], [])
    show_page_map(words, cited)
    outlines = [one.props["d"] for one in client.elements.values() if one.tag == "path"]
    assert outlines == ["M100 707H190V735H100zM200 707H290V735H200z", "M200 707H290V735H200z"]


def texts(client: Client, tag: str) -> list[str]:
    return [it._text for it in client.elements.values() if it.tag == tag and it._text]


def test_formulas_are_mathml_prices_are_none_and_neither_brings_markup_or_addresses(client: Client) -> None:
    told: list[str] = []
    show_markdown("$x^2$ and \\(y_1\\) cost $5 and $10, not $7-$9.\n\n$$\n\\frac{a}{b}\n$$", told.append)
    assert texts(client, "mi") == ["x", "y", "a", "b"]
    assert "cost $5 and $10, not $7-$9." in "".join(told)
    for hostile in (r"\href{javascript:alert(1)}{x}", r"\text{<b>x</b>}", r"\style{color:red}{x}", r"\class{bar}{x}"):
        show_markdown(f"${hostile}$", told.append)
    assert texts(client, "mtext") == ["<b>x</b>"], "as text"
    names = {name for it in client.elements.values() if it.tag.startswith("m") for name in it.props}
    assert names.isdisjoint({"href", "style", "class"})
    show_markdown(r"$\frac{$" + "\n\n$" + "{" * 900 + "$", told.append)
    assert texts(client, "code") == [r"\frac{", "{" * 900], "what is no formula is shown as it was written"


def test_a_block_of_code_has_a_button_that_copies_it(client: Client) -> None:
    show_markdown("```python\nprint(1)\n```", str)
    (button,) = (it for it in client.elements.values() if isinstance(it, ui.button))
    assert (button.props["data-text"], button.props["aria-label"]) == ("print(1)\n", "Copy the code")
    assert texts(client, "span") == ["python"]


def test_what_may_be_wider_than_the_page_is_scrolled_by_the_keyboard(client: Client) -> None:
    show_markdown("```\nprint(1)\n```\n\n$$\nx\n$$\n\nand $y$", str)
    assert [it.tag for it in client.elements.values() if it.props.get("tabindex") == "0"] == ["pre", "math"]


def paper(parsed: Parsed, marked: tuple[int, int] = (0, 0), start: int = 0) -> Paper:
    shown = DocumentText.model_construct(start=start, end=len(parsed.text), text=parsed.text[start:])
    made = Paper(shown, parsed, marked)
    made.build()
    return made


SHEET = b"Lamp,Price,Weight\nHarbour <b>lamp</b>,90 USD,\nMoon lamp,70 USD,2 kg,odd\n"


def test_the_rows_of_a_table_are_shown_as_a_table_with_its_head_and_its_cells_as_text(client: Client) -> None:
    parsed = parse_here(SHEET, "lamps.csv", ParseLimits())
    paper(parsed, (parsed.text.index("90"), parsed.text.index("90") + 6))
    assert texts(client, "th") == ["Lamp", "Price", "Weight"]
    assert [it.props["scope"] for it in client.elements.values() if it.tag == "th"] == ["col"] * len(
        texts(client, "th")
    )
    rows = [it for it in client.elements.values() if it.tag == "tr"]
    assert len(rows) == 3
    assert texts(client, "mark") == ["90 USD"]
    assert texts(client, "span") == ["Harbour <b>lamp</b>", "Moon lamp", "70 USD", "2 kg", "odd"]
    assert len({len([*row]) for row in rows}) == 1, "each row has as many cells"


def test_a_row_that_is_cut_a_name_that_is_cited_and_a_sheet_too_wide_to_read_stay_lines(client: Client) -> None:
    parsed = parse_here(SHEET, "lamps.csv", ParseLimits())
    paper(parsed, start=5)
    assert "Harbour <b>lamp</b>; Price: 90 USD" in " ".join(texts(client, "span"))
    paper(parsed, (0, 4))
    assert texts(client, "mark") == ["Lamp"]
    wide = ",".join(map(str, range(WIDEST + 1))).encode()
    before = [it.tag for it in client.elements.values()].count("table")
    paper(parse_here(wide + b"\n" + wide, "wide.csv", ParseLimits()))
    assert [it.tag for it in client.elements.values()].count("table") == before


def test_a_short_text_of_many_nearly_empty_cells_is_not_shown_cell_by_cell(client: Client) -> None:
    head = ",".join(f"n{number}" for number in range(WIDEST))
    sheet = "\n".join([head, ",".join("b" * WIDEST), *(["," * (WIDEST - 1) + "a"] * 2_000)])
    paper(parse_here(sheet.encode(), "sparse.csv", ParseLimits()))
    cells = [it.tag for it in client.elements.values()].count("td")
    assert 0 < cells <= CELLS
    assert len(client.elements) < 15_000


def test_a_row_is_looked_for_on_its_page_without_the_names_of_its_columns(client: Client) -> None:
    text = "Lamps of May\nPlan: A; Price: 1\fPlan: B; Price: 2"
    blocks = (Block("paragraph", 0, 12, page=1), Block("row", 13, 30, page=1), Block("row", 31, 48, page=2))
    tables = (Table(1, ("Plan", "Price"), ((1, 1),)), Table(2, ("Plan", "Price"), ((1, 1),)))
    made = paper(Parsed(text, blocks, tables=tables), (6, 48))
    assert (made.cited_lines(1), made.cited_lines(2)) == (["of May", "A 1"], ["B 2"])


def test_tables_of_each_page_have_their_own_head_and_say_their_page(client: Client) -> None:
    text = "Plan: A; Price: 1\fPlan: B; Price: 2"
    blocks = (Block("row", 0, 17, page=1), Block("row", 18, 35, page=2))
    tables = (Table(0, ("Plan", "Price"), ((1, 1),)), Table(1, ("Plan", "Price"), ((1, 1),)))
    paper(Parsed(text, blocks, tables=tables))
    assert texts(client, "th") == ["Plan", "Price"] * 2
    assert [it for it in texts(client, "span") if it.startswith("Page")] == ["Page 1", "Page 2"]

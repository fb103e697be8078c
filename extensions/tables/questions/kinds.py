"""Whether what a question asks for can be what a plan says: "when" a date, "who" no figure, "and" not two kinds of rows."""

from collections.abc import Iterable

from extensions.tables.figures import NOTHING
from extensions.tables.query import Query
from extensions.tables.questions import english
from extensions.tables.questions.reading import Reading, has_years


def says_what_is_asked(reading: Reading, kind: str, query: Query) -> bool:
    """Return False where the question word asks for something else, or where conditions may be meant in two ways."""
    said = {word for at, word in enumerate(reading.words) if at not in reading.taken}
    if "and" in said and len(query.where) > 1:
        return False
    if kind == "look-up":
        return _fits(reading, said, query.columns[-1]) and _is_of_the_thing(reading, said, query.columns[-1:])
    asks_for_more = said & (
        english.WHEN | english.WHERE | (english.WHO if kind not in ("list", "superlative") else set())
    )
    return not asks_for_more and (not query.measure or _is_of_the_thing(reading, said, [query.measure]))


def _fits(reading: Reading, said: set[str], name: str) -> bool:
    at = reading.sheet.names.index(name)
    column, cells = reading.sheet.columns[at], {row.cells[at] for row in reading.sheet.rows} - NOTHING
    if said & english.WHEN:
        return has_years(column.numbers) if column.is_numeric else all(map(_has_digit, cells))
    if said & english.WHERE:
        return not column.is_numeric
    if said & english.WHO:
        return not column.is_numeric and not any(map(_has_digit, cells))
    return "how" not in said or column.is_numeric or all(map(_has_digit, cells))


def _is_of_the_thing(reading: Reading, said: set[str], names: Iterable[str]) -> bool:
    """Whether the figures are asked for as what a row has, and not as what is done with it."""
    if not any(reading.sheet.columns[reading.sheet.names.index(name)].is_numeric for name in names):
        return True
    deeds = english.DEEDS if said & english.LASTS else english.DEEDS | english.TAKES
    return not said & deeds


def _has_digit(cell: str) -> bool:
    return any(map(str.isdigit, cell))

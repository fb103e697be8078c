"""A question, read by the words of one table: the columns, values and conditions that it names."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from extensions.tables.figures import CURRENCIES
from extensions.tables.query import Filter
from extensions.tables.questions import english
from extensions.tables.questions.vocabulary import VALUE_WORDS, Vocabulary, singular, stem
from extensions.tables.reading import Column, Sheet
from foundation.text.lexical import is_foreign, words

_QUESTION_WORDS = 40
# Cells of a table whose words are compared with a question's
_CELLS = 10_000
# "QL-20a" is read as "QL-20", and "a" says nothing
_CODE_WITH_ARTICLE = re.compile(r"\d[ai](?!\w)", re.IGNORECASE)


@dataclass
class Reading:
    """A question, read by the words of one table."""

    vocabulary: Vocabulary
    words: list[str]
    filters: list[Filter] = field(default_factory=list)
    named: list[tuple[int, str]] = field(default_factory=list)
    """Columns and the values of them that the question names."""
    mentioned: list[int] = field(default_factory=list)
    """Columns that the question names, from the longest name."""
    conditional: set[int] = field(default_factory=set)
    """Columns that a condition such as "more than 40 m" is about."""
    taken: set[int] = field(default_factory=set)
    """Places of words of values and conditions, which ask for nothing else."""

    def __post_init__(self) -> None:
        self.stems = [stem(word) for word in self.words]
        self.singular = [singular(word) for word in self.words]
        self.used = [False] * len(self.words)

    @property
    def sheet(self) -> Sheet:
        return self.vocabulary.table.sheet

    def use(self, places: Iterable[int]) -> None:
        for at in places:
            self.used[at] = True

    def use_words(self, wanted: Iterable[str]) -> bool:
        """Mark these words; return whether one was there, outside of values and conditions."""
        places = [at for at, word in enumerate(self.words) if word in wanted and at not in self.taken]
        self.use(places)
        return bool(places)

    def left_over(self) -> bool:
        return any(not used and word not in english.FILLERS for used, word in zip(self.used, self.words, strict=True))


def may_ask(question: str) -> bool:
    """Whether the question has no word that keeps it from being read, whatever the table."""
    if _CODE_WITH_ARTICLE.search(question):
        return False
    asked = words(question)
    return 2 < len(asked) <= _QUESTION_WORDS and not is_foreign(question) and english.BREAKERS.isdisjoint(asked)


def read_question(question: str, vocabulary: Vocabulary) -> Reading | None:
    """Return what the question names of the table; `None`: a value may be of several columns, or a number belongs to none."""
    reading = Reading(vocabulary, words(question))
    if vocabulary.table.cells > _CELLS or vocabulary.key < 0 or not _find_values(reading):
        return None
    _find_columns(reading)
    return reading if _find_bounds(reading) else None


def _find_values(reading: Reading) -> bool:
    """Find the values that the question names; return whether it is clear of which column each is."""
    values, count = reading.vocabulary.values, len(reading.words)
    at = 0
    while at < count:
        sizes = range(min(VALUE_WORDS, count - at), 0, -1)
        size = next((size for size in sizes if tuple(reading.singular[at : at + size]) in values), 0)
        if size:
            column = _column_of(reading, at, values[tuple(reading.singular[at : at + size])])
            if column is None:
                return False
            reading.named.append(column)
            reading.use(range(at, at + size))
            reading.taken.update(range(at, at + size))
        at += size or 1
    return True


def _column_of(reading: Reading, at: int, found: set[tuple[int, str]]) -> tuple[int, str] | None:
    if len(found) == 1:
        return next(iter(found))
    before = {reading.stems[at - 1]} if at else set()
    beside = [each for each in found if reading.vocabulary.columns[each[0]] == before]
    clear = beside or [each for each in found if each[0] == reading.vocabulary.key]
    return clear[0] if len(clear) == 1 else None


def _find_columns(reading: Reading) -> None:
    columns = reading.vocabulary.columns
    free = {stem for stem, used in zip(reading.stems, reading.used, strict=True) if not used}
    whole = [at for at, name in enumerate(columns) if name and name <= free]
    reading.mentioned = [at for at in whole if not any(columns[at] < columns[other] for other in whole)]
    said = frozenset[str]().union(*(columns[at] for at in reading.mentioned))
    reading.use(at for at, stem in enumerate(reading.stems) if stem in said)
    # the name of a column beside its value: "the river Cressel"
    valued = frozenset[str]().union(*(columns[at] for at, _ in reading.named))
    reading.use(at for at, stem in enumerate(reading.stems) if stem in valued)
    named = {at for at, _ in reading.named} | {reading.vocabulary.key}
    reading.mentioned = [at for at in reading.mentioned if at not in named or reading.sheet.columns[at].is_numeric]


def _find_bounds(reading: Reading) -> bool:
    """Find conditions such as "more than 40 m"; return whether each number that is no value belongs to one."""
    for at, word in enumerate(reading.words):
        if reading.used[at] or not word[:1].isdigit():
            continue
        compare, width = _comparison(reading.words[:at])
        if not compare and not _is_plain_year(reading, at):
            return False
        column, unit = _bound_column(reading, at, is_year=not compare)
        if column is None:
            return False
        reading.filters.append(
            Filter(column=reading.sheet.names[column], compare=compare or "equals", value=f"{word} {unit}".strip())
        )
        reading.conditional.add(column)
        reading.taken.update(range(at - width, at + 1))
        reading.use(range(at - width, at + 1))
    return True


def _is_plain_year(reading: Reading, at: int) -> bool:
    """Whether a year stands for itself: "in 2004" and "built 2004" do, "from 2004", "by 2004" and "2004 to 2010" may ask for others."""
    before = at - 1
    return before >= 0 and (
        reading.words[before] in english.OF_A_YEAR
        or any(reading.stems[before] in reading.vocabulary.columns[place] for place in reading.mentioned)
    )


def _comparison(before: Sequence[str]) -> tuple[str, int]:
    for compare, phrases in (
        ("is above", english.ABOVE), ("is below", english.BELOW), ("is at least", english.AT_LEAST), ("is at most", english.AT_MOST),
    ):  # fmt: skip
        for phrase in phrases:
            if tuple(before[-len(phrase) :]) == phrase:
                return compare, len(phrase)
    return "", 0


def _bound_column(reading: Reading, at: int, *, is_year: bool) -> tuple[int | None, str]:
    columns = reading.sheet.columns
    mentioned = [place for place in reading.mentioned if columns[place].is_numeric] or hinted(reading)
    if is_year:
        years = [place for place in mentioned if has_years(columns[place].numbers)]
        return (years[0] if len(years) == 1 else None), ""
    after = reading.words[at + 1] if at + 1 < len(reading.words) else ""
    code = english.CURRENCIES.get(after, "")
    if not mentioned and after:
        mentioned = [
            place for place, column in enumerate(columns) if column.is_numeric and _has_unit(reading, place, after)
        ]
    if len(mentioned) != 1:
        return None, ""
    if code or _has_unit(reading, mentioned[0], after):
        reading.use([at + 1])
    return mentioned[0], code


def has_years(numbers: Sequence[object]) -> bool:
    present = [number for number in numbers if number is not None]
    return bool(present) and all(1000 <= number < 2200 and number == int(number) for number in present)  # type: ignore[operator, call-overload]


def _has_unit(reading: Reading, place: int, word: str) -> bool:
    column = reading.sheet.columns[place]
    units = words(f"{column.unit or ''} {column.name.partition('(')[2]}") or words(column.name)
    return bool(word) and stem(word) in map(stem, units)


def hinted(reading: Reading) -> list[int]:
    """Return the columns of figures that words such as "cheapest" ask for: those whose whole name is asked for, else the only price."""
    said = [at for at, word in enumerate(reading.words) if word in english.ASKS_FOR]
    reading.use(said)
    wanted = {stem(name) for at in said for name in english.ASKS_FOR[reading.words[at]]}
    columns = {at: name for at, name in enumerate(reading.vocabulary.columns) if reading.sheet.columns[at].is_numeric}
    beside = wanted.union(stem for at, stem in enumerate(reading.stems) if at not in reading.taken)
    is_of_price = any(reading.words[at] in english.ASKS_FOR_PRICE for at in said)
    named = [at for at, name in columns.items() if name & wanted and name <= beside]
    prices = [at for at in columns if has_currency(reading.sheet.columns[at])]
    if is_of_price:
        named = [at for at in named if at in prices or not reading.sheet.columns[at].unit]
        return _use_names(reading, named) or [at for at in prices if len(prices) == 1 and columns[at] & wanted]
    return _use_names(reading, named)


def _use_names(reading: Reading, named: list[int]) -> list[int]:
    for column in named:
        reading.use(at for at, stem in enumerate(reading.stems) if stem in reading.vocabulary.columns[column])
    return named


def has_currency(column: Column) -> bool:
    unit = column.unit or ""
    return unit in CURRENCIES or (len(unit) == 1 and unicodedata.category(unit) == "Sc")

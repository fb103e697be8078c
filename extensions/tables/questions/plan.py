"""The typed queries of a question.

Every word of the question has to be a column, a value, a word for what is asked, or one that says nothing. A word that is left over
means that the table may not be what the person asks for, so that there is no query. So few questions are answered, and rightly.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from extensions.tables.query import Filter, Query
from extensions.tables.questions import english
from extensions.tables.questions.kinds import says_what_is_asked
from extensions.tables.questions.reading import Reading, has_currency, hinted, read_question
from extensions.tables.questions.vocabulary import Vocabulary


@dataclass(frozen=True)
class Plan:
    """Queries of one table, and what is done with their results."""

    queries: Sequence[Query]
    kind: str
    """look-up, list, count, sum, superlative, group, difference."""


def plan(question: str, vocabulary: Vocabulary) -> Plan | None:
    """Return the queries that the question asks of the table; `None`: something in it is not of this table, or not understood."""
    reading = read_question(question, vocabulary)
    return None if reading is None else _choose(reading)


def _choose(reading: Reading) -> Plan | None:
    hints = {
        word for word, used in zip(reading.words, reading.used, strict=True) if word in english.ASKS_FOR and not used
    }
    shape = _shape(reading, hinted(reading) if hints else [])
    asks = _operations(reading, shape)
    _find_rows(reading)
    if reading.left_over() or len(asks) > 1 or not _is_clear(reading, shape, hints):
        return None
    grouped = bool(shape.texts) and not english.BY.union({"each"}).isdisjoint(reading.words)
    found = (asks[0] if asks else shape.rows)(grouped)
    if found is None or found.kind == "difference":
        return found
    return found if says_what_is_asked(reading, found.kind, found.queries[0]) else None


def _is_clear(reading: Reading, shape: "Shape", hints: set[str]) -> bool:
    """Whether each column of figures is surely meant: it is what words such as "cost" ask for, and its name is no part of another's."""
    wanted, columns = hinted(reading) if hints else [], reading.vocabulary.columns
    binding = hints - (english.GENERAL - english.ASKS_FOR_PRICE if shape.figures else frozenset())
    if binding and not (shape.figures and all(at in wanted or _is_price(reading, at, hints) for at in shape.figures)):
        return False
    for at in shape.figures:
        longer = any(columns[at] < other for other in columns)
        if longer and at not in wanted and not _is_counted(reading, columns[at]):
            return False
    return True


def _is_price(reading: Reading, at: int, hints: set[str]) -> bool:
    return has_currency(reading.sheet.columns[at]) and hints <= english.ASKS_FOR_PRICE


def _is_counted(reading: Reading, name: frozenset[str]) -> bool:
    """Whether "how many" stands right before it."""
    return any(
        reading.words[at - 2 : at] == ["how", "many"] and {word} == name for at, word in enumerate(reading.stems)
    )


def _shape(reading: Reading, hinted: Sequence[int]) -> "Shape":
    columns = reading.sheet.columns
    targets = [at for at in reading.mentioned if at not in reading.conditional]
    figures = [at for at in targets if columns[at].is_numeric] or [at for at in hinted if at not in reading.conditional]
    texts = [at for at in targets if not columns[at].is_numeric]
    return Shape(reading, reading.vocabulary.table.table_id, figures, texts)


def _operations(reading: Reading, shape: "Shape") -> list[Callable[[bool], Plan | None]]:
    """Return what the words ask for beside rows as they stand, and mark these words."""
    largest = (english.LARGEST | english.NEWEST, "largest first"), (english.SMALLEST | english.OLDEST, "smallest first")
    asks: list[Callable[[bool], Plan | None]] = [
        partial(shape.superlative, order) for wanted, order in largest if reading.use_words(wanted)
    ]
    reading.use_words(english.BY)
    if _says_sum(reading):
        asks.append(partial(shape.calculation, "sum"))
    if reading.use_words(english.AVERAGES):
        asks.append(partial(shape.calculation, "average"))
    if reading.use_words(english.COMPARED | english.CHANGES) and not asks:
        asks.append(shape.difference)
    return asks or ([shape.count] if _counts_rows(reading) else [])


def _says_sum(reading: Reading) -> bool:
    in_all = [at for at in range(1, len(reading.words)) if reading.words[at - 1 : at + 1] == ["in", "all"]]
    return reading.use_words(english.SUMS) or any(at == len(reading.words) - 1 for at in in_all)


def _counts_rows(reading: Reading) -> bool:
    """Whether it asks how many rows there are: the word behind "how many" is one for a row, or a value of one."""
    pairs = zip(reading.words, reading.words[1:], strict=False)
    at = next((at for at, pair in enumerate(pairs) if pair == ("how", "many")), -1)
    return 0 <= at < len(reading.words) - 2 and reading.stems[at + 2] in reading.vocabulary.rows


def _find_rows(reading: Reading) -> None:
    """Mark the words for a row, and those above the table, but what "which" or "how many" asks for: it has to be the rows."""
    rows, above = reading.vocabulary.rows, reading.vocabulary.above
    for at, word in enumerate(reading.stems):
        is_asked = at > 0 and reading.words[at - 1] in ("which", "what", "many", "list")
        if word in rows or (word in above and not is_asked):
            reading.use([at])


@dataclass
class Shape:
    """The queries of a reading, by what it asks for."""

    reading: Reading
    table: str
    figures: Sequence[int]
    texts: Sequence[int]

    @property
    def names(self) -> Sequence[str]:
        return self.reading.sheet.names

    @property
    def where(self) -> list[Filter] | None:
        """The conditions; `None`: two values of one column are named."""
        columns = [at for at, _ in self.reading.named]
        if len({*columns}) < len(columns):
            return None
        return [
            *(Filter(column=self.names[at], value=value) for at, value in self.reading.named),
            *self.reading.filters,
        ]

    def _shown(self) -> list[str]:
        """The columns that name a row: the first, and where it is a code the next one with words."""
        key, sheet = self.reading.vocabulary.key, self.reading.sheet
        is_code = any(character.isdigit() for row in sheet.rows[:5] for character in row.cells[key])
        others = [at for at, column in enumerate(sheet.columns) if not column.is_numeric and at > key]
        return [self.names[at] for at in [key, *(others[:1] if is_code else [])]]

    def _names_a_row(self) -> bool:
        return any(at == self.reading.vocabulary.key for at, _ in self.reading.named)

    def superlative(self, order: str, grouped: bool) -> Plan | None:  # noqa: ARG002 - as the others
        if len(self.figures) != 1 or self.where is None or self.texts:
            return None
        measure = self.names[self.figures[0]]
        columns = [*self._shown(), measure]
        return self._plan("superlative", columns=columns, measure=measure, order=order, limit=1)

    def calculation(self, calculate: str, grouped: bool) -> Plan | None:
        if len(self.figures) != 1 or self.where is None or len(self.texts) != grouped:
            return None
        group = [self.names[at] for at in self.texts]
        return self._plan(
            "group" if grouped else "sum", calculate=calculate, measure=self.names[self.figures[0]], group_by=group
        )

    def count(self, grouped: bool) -> Plan | None:
        if (
            self.figures
            or self._names_a_row()
            or self.where is None
            or len(self.texts) != grouped
            or not (self.where or grouped or self.reading.vocabulary.rows)
        ):
            return None
        return self._plan(
            "group" if grouped else "count", calculate="count", group_by=[self.names[at] for at in self.texts]
        )

    def rows(self, grouped: bool) -> Plan | None:
        """A look-up where a column is asked for, else the rows that meet conditions."""
        targets = [*self.figures, *self.texts]
        if not self.where or len(targets) > 1 or grouped:
            return None
        if targets:
            return self._plan("look-up", columns=[*dict.fromkeys([*self._shown(), self.names[targets[0]]])])
        asks = {"which", "list", "what", "who"}.intersection(self.reading.words)
        is_of_rows = bool(self.reading.vocabulary.rows.intersection(self.reading.stems))
        return self._plan("list", columns=self._shown()) if asks and is_of_rows and not self._names_a_row() else None

    def difference(self, grouped: bool) -> Plan | None:
        key = self.reading.vocabulary.key
        pair = [value for at, value in self.reading.named if at == key]
        if grouped or self.texts or self.reading.filters or any(at != key for at, _ in self.reading.named):
            return None
        if len(pair) == 2 and len(self.figures) == 1:
            cells = [(value, self.figures[0]) for value in pair]
        elif len(pair) == 1 and len(self.figures) == 2:
            cells = [(pair[0], at) for at in self.figures]
        else:
            return None
        queries = [
            Query(
                table=self.table,
                columns=[self.names[key], self.names[at]],
                where=[Filter(column=self.names[key], value=value)],
            )
            for value, at in cells
        ]
        return Plan(queries, "difference")

    def _plan(self, kind: str, **query: object) -> Plan:
        totals = "left out" if self.reading.sheet.totals else ""
        return Plan(
            [Query.model_validate({"table": self.table, "where": self.where, "total_row": totals, **query})], kind
        )

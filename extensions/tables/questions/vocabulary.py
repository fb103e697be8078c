"""What a table can be asked by: the words of its columns, its values and what stands above it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath

from extensions.tables.documents import KeptTable
from extensions.tables.figures import CURRENCIES, NOTHING
from extensions.tables.questions import english
from foundation.text.lexical import words

# Words of a value of a cell that a question may name
VALUE_WORDS = 10
# Endings that a word for a column may have in a question, and the letters that have to be left
_ENDINGS = (("ion", 5), ("ing", 4), ("er", 4), ("or", 4), ("ed", 4), ("e", 4))
# Names of a first column that do not say what the rows are
_GENERIC = frozenset({"name", "code", "id", "title", "item", "no", "nr", "sku"})


@dataclass(frozen=True)
class Vocabulary:
    """What a table can be asked by: the words of its columns and what stands above it without their endings, and its values."""

    table: KeptTable

    @cached_property
    def columns(self) -> list[frozenset[str]]:
        return [_name_stems(name) for name in self.table.sheet.names]

    @cached_property
    def key(self) -> int:
        """The first column of words, which names the rows; -1: there is none."""
        sheet = self.table.sheet
        return next((at for at, column in enumerate(sheet.columns) if not column.is_numeric), -1)

    @cached_property
    def above(self) -> frozenset[str]:
        source, sheet = self.table.document.source, self.table.sheet
        return frozenset(map(stem, words(f"{source.title} {PurePath(source.uri).stem} {sheet.above}")))

    @cached_property
    def rows(self) -> frozenset[str]:
        """Words for what a row is."""
        if self.key < 0:
            return frozenset()
        name = self.columns[self.key]
        return self.above | name if name & _GENERIC else name

    @cached_property
    def values(self) -> dict[tuple[str, ...], set[tuple[int, str]]]:
        found: dict[tuple[str, ...], set[tuple[int, str]]] = {}
        for at, column in enumerate(self.table.sheet.columns):
            if not column.is_numeric:
                for cell in {row.cells[at] for row in self.table.sheet.rows} - NOTHING:
                    name = tuple(map(singular, words(cell)))
                    if 0 < len(name) <= VALUE_WORDS and not english.FILLERS.union(english.BREAKERS).issuperset(
                        words(cell)
                    ):
                        found.setdefault(name, set()).add((at, cell))
        return found


def singular(word: str) -> str:
    """Return a noun as a value may have it: a row is named by its whole word, and Orrington is not Orrin.

    >>> [singular(word) for word in ("peas", "tomatoes", "ferries", "glass", "2,024")]
    ['pea', 'tomato', 'ferry', 'glass', '2024']
    """
    if word[:1].isdigit():
        return word.replace(",", "")
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if len(word) > 4 and word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def stem(word: str) -> str:
    """Return a word without its ending, as the name of a column is asked for.

    >>> stem("discovered") == stem("discoverer"), stem("germinates") == stem("germination"), stem("men") == stem("women")
    (True, True, False)
    >>> stem("departs") == stem("department"), stem("persons") == stem("personal"), stem("2024")
    (False, False, '2024')
    """
    word = singular(word)
    while bare := next(
        (word[: -len(end)] for end, left in _ENDINGS if word.endswith(end) and len(word) >= left + len(end)), ""
    ):
        word = bare
    return word


def _name_stems(name: str) -> frozenset[str]:
    bare, _, _ = name.partition("(")
    units = {code.lower() for code in CURRENCIES} | english.FILLERS
    parts = words(bare)
    return frozenset(stem(word) for word in parts if word not in units) or frozenset(map(stem, parts))

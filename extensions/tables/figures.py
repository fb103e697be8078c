"""Figures in cells: a number with its unit, where the cell is nothing else, and the mark of its decimals where the column tells it."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

# Cells that say that there is no value
NOTHING = frozenset({"", "-", "–", "—", "n/a", "N/A", "?"})
CURRENCIES = frozenset(
    [
        "AUD",
        "BRL",
        "CAD",
        "CHF",
        "CNY",
        "CZK",
        "DKK",
        "EUR",
        "GBP",
        "HKD",
        "HUF",
        "INR",
        "JPY",
        "KRW",
        "MXN",
        "NOK",
        "NZD",
        "PLN",
        "SEK",
        "SGD",
        "TRY",
        "USD",
        "ZAR",
    ]
)
# What stands before the figure, its sign, the figure and what stands behind it
_CELL = re.compile(r"([^\d+\-\u2212.,]*+)([+\-\u2212]?)\s*+(\d(?:[\d.,'\u2019 \xa0\u202f]*\d)?)([^\d]*)")
_GROUPED = re.compile(r"\d{1,3}(?:([.,'\u2019 \xa0\u202f])\d{3})(?:\1\d{3})*")
# Most characters of a unit; longer ones are prose
_UNIT_CHARACTERS = 20
# Least characters of a unit that may have an ending, as in "day" and "days"
_ENDING_FROM = 3


@dataclass(frozen=True, slots=True)
class Figure:
    """A cell that is a number: its digits as they stand there, with their separators."""

    digits: str
    negative: bool
    unit: str

    def value(self, mark: str) -> Decimal | None:
        """Return the number where `mark` begins the decimals; `None`: that is no number."""
        whole, _, decimals = self.digits.partition(mark)
        if decimals and not decimals.isdecimal():
            return None
        if not whole.isdecimal() and not _GROUPED.fullmatch(whole):
            return None
        number = Decimal("".join(sign for sign in whole if sign.isdecimal()) + (f".{decimals}" if decimals else ""))
        return -number if self.negative else number


def read_figure(cell: str) -> Figure | None:
    """Return the figure that a cell is; `None`: it is text.

    >>> read_figure("1,299.00 EUR")
    Figure(digits='1,299.00', negative=False, unit='EUR')
    >>> read_figure("QL-20") is read_figure("12-month") is read_figure("10 to 20") is None
    True
    """
    match = _CELL.fullmatch(cell.strip())
    if match is None:
        return None
    before, sign, digits, after = (part.strip() for part in match.groups())
    if before and not (before in CURRENCIES or unicodedata.category(before[-1]) == "Sc"):
        return None
    if after and (len(after) > _UNIT_CHARACTERS or (before and after) or after[0] in "-/.:,;()_'\"–—"):
        return None
    return Figure(digits, sign in ("-", "\u2212"), before or after)


def find_mark(figures: Iterable[Figure]) -> str | None:
    """Return the mark of decimals that these figures show; empty: none shows one, `None`: they contradict each other.

    A single separator before three digits, as in 1,200, shows nothing.
    """
    shown = {mark for figure in figures if (mark := _mark_in(figure.digits))}
    return None if len(shown) > 1 else next(iter(shown), "")


def is_unclear(figure: Figure) -> bool:
    """Whether it is another number with the other mark of decimals."""
    return not _mark_in(figure.digits) and any(sign in figure.digits for sign in ".,")


def is_same_unit(one: str, other: str) -> bool:
    """
    >>> is_same_unit("day", "days"), is_same_unit("m", "mm"), is_same_unit("EUR", "USD")
    (True, False, False)
    """
    short, long = sorted((one.casefold(), other.casefold()), key=len)
    return short == long or (len(short) >= _ENDING_FROM and long.startswith(short) and len(long) - len(short) <= 2)


def find_unit(units: Sequence[str]) -> str | None:
    """Return the one unit of a column, in its shortest form; `None`: there are several."""
    distinct = sorted({*units}, key=lambda unit: (len(unit), unit))
    return (distinct or [""])[0] if all(is_same_unit(distinct[0], unit) for unit in distinct) else None


def _mark_in(digits: str) -> str:
    separators = [sign for sign in digits if sign in ".,"]
    if not separators:
        return ""
    other = {".": ",", ",": "."}
    if len({*separators}) == 2:
        return separators[-1]
    if len(separators) > 1:
        return other[separators[0]]
    whole, _, decimals = digits.partition(separators[0])
    grouped = len(decimals) == 3 and 0 < len(whole) <= 3 and not whole.startswith("0")
    return "" if grouped else separators[0]

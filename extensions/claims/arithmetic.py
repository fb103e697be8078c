# ruff: noqa: RUF001 - words of many scripts are the subject
"""Arithmetic in claims: figures that are the sum, difference or percentage of others, or the time between two."""

import re
from collections.abc import Sequence
from itertools import accumulate, combinations, product
from math import isclose

from extensions.claims.quantities import Quantity

_SUM = re.compile(
    r"\+|\b(?:totals?|sums?|altogether|in all|combined|together|overall|plus|adds?(?: up)?|insgesamt|zusammen|gesamt\w*|summe|"
    r"total(?:es)?|suma\w*|juntos|всего|итого|сумм\w*|вместе)\b|总|共|合计",
    re.IGNORECASE,
)
_DIFFERENCE = re.compile(
    r"\s[-−–]\s|\b(?:differ\w*|more|less|fewer|cheaper|dearer|longer|shorter|older|younger|higher|lower|points?|remain\w*|left|"
    r"sav(?:e|es|ed|ings?)|minus|"
    r"increas\w*|decreas\w*|r(?:ise|ises|ose)|f(?:all|alls|ell)|gr[eo]w\w*|drop\w*|unterschied\w*|differenz\w*|mehr|weniger|übrig|"
    r"verbleib\w*|erspar\w*|günstiger|teurer|diferencia|más|menos|queda\w*|resta\w*|ahorr\w*|разниц\w*|больше|меньше|остал\w*|"
    r"дешевле|дороже)\b|差|多|少|剩|节省",
    re.IGNORECASE,
)
_PERCENT, _YEAR, _DAY, _EARLIEST, _LATEST = "percent", 12, 86400, 1000, 2100
_SAME = 1e-9


def is_worked_out(
    figure: Quantity, text: str, own: Sequence[Quantity], before: Sequence[Quantity], near: Sequence[Quantity]
) -> bool:
    """Whether the figure of a sentence (`text`) follows by a single step that the sentence mentions from given ones: its `own`,
    those of the answer `before`, or those `near` in the passages.
    """
    listed = [max(given.readings) for given in (*before, *own) if figure.dimension and _alike(figure, given)]
    if _SUM.search(text) and any(total in figure.readings for total in accumulate(reversed(listed))):
        return True
    others = [*before, *near]
    # Small numbers without a unit match by chance
    given = [*own, *(other for other in others if other.dimension or figure.dimension)]
    if any(_is_between(figure, first, second) for first in own for second in (*own, *others)):
        return True
    if figure.dimension == _PERCENT:
        if any(_is_share(figure, text, *pair) for pair in _pairs(given, "") if _PERCENT not in _dimensions(pair)):
            return True
        given = [*own]  # any text has enough percentages for some to differ by chance
    shares = [share for share in own if share.dimension == _PERCENT]
    if any(_is_part(figure, share, whole) for share in shares for whole in given if _alike(figure, whole)):
        return True
    pairs = [pair for pair in _pairs(given, figure.dimension) if all(_alike(figure, quantity) for quantity in pair)]
    if _SUM.search(text) and any(_has_sum(figure, first, second) for first, second in pairs):
        return True
    either = [*pairs, *((second, first) for first, second in pairs)]
    return _DIFFERENCE.search(text) is not None and any(_has_sum(whole, part, figure) for whole, part in either)


def _pairs(given: Sequence[Quantity], dimension: str) -> list[tuple[Quantity, Quantity]]:
    distinct = list({(quantity.start, quantity.readings, quantity.dimension): quantity for quantity in given}.values())
    return [
        (first, second)
        for first, second in combinations(distinct, 2)
        if first.dimension == second.dimension or (dimension and "" in _dimensions((first, second)))
    ]


def _dimensions(pair: tuple[Quantity, Quantity]) -> set[str]:
    return {quantity.dimension for quantity in pair}


def _alike(figure: Quantity, given: Quantity) -> bool:
    return given.dimension in (figure.dimension, "")


def _has_sum(total: Quantity, first: Quantity, second: Quantity) -> bool:
    readings = product(total.readings, first.readings, second.readings)
    # Percentage points are mostly told without decimals
    off = 0.5 if total.dimension == _PERCENT else 0.0
    return any(isclose(a + b, whole, rel_tol=_SAME, abs_tol=off) for whole, a, b in readings if a > 0 and b > 0)


def _is_between(figure: Quantity, first: Quantity, second: Quantity) -> bool:
    """Whether the figure is the time in years between two years, or in days between two days of a month."""
    days = figure.factor == _DAY and first.dimension == second.dimension == "day"
    years = all(not date.dimension and _EARLIEST <= max(date.readings) < _LATEST for date in (first, second))
    apart = {abs(a - b) * (_DAY if days else _YEAR) for a, b in product(first.readings, second.readings)}
    return (days or (years and figure.dimension == "months")) and not apart.isdisjoint(figure.readings)


def _is_share(figure: Quantity, text: str, first: Quantity, second: Quantity) -> bool:
    """Whether the figure is one quantity in percent of the other, or their difference in percent, to its written precision."""
    _, _, decimals = re.sub(r"[^\d.,]", "", text[figure.start : figure.end]).replace(",", ".").partition(".")
    half = 0.5 * 10 ** -len(decimals) + _SAME
    return any(
        abs(100 * share - value) <= half
        for value, a, b in product(figure.readings, first.readings, second.readings)
        if a > 0 and b > 0 and a != b
        for share in (a / b, b / a, abs(a - b) / b, abs(a - b) / a)
    )


def _is_part(figure: Quantity, share: Quantity, whole: Quantity) -> bool:
    """Whether the figure is `share` percent of the whole, or the whole plus or minus that."""
    return any(
        isclose(of * part, value, rel_tol=_SAME)
        for value, percent, of in product(figure.readings, share.readings, whole.readings)
        for part in (percent / 100, 1 - percent / 100, 1 + percent / 100)
    )

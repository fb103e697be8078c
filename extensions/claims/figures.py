"""Wrong figures: numbers of a claim that its passages lack, or have for something else."""

import re
from itertools import product
from math import isclose

from extensions.claims.arithmetic import is_worked_out
from extensions.claims.quantities import Quantity, read_quantities
from extensions.claims.texts import WORD, Text
from foundation.text.lexical import FUNCTION_WORDS, as_typed

# Relative deviation of a rounded number, where the claim says "about"
_NEARLY = 0.06
_APPROXIMATE = re.compile(
    r"\b(?:about|around|approximately|roughly|nearly|almost|over|more than|less than|under|up to|at least|some|circa|ca|etwa|rund|fast|"
    r"knapp|über|unos|unas|casi|cerca de|aproximadamente|más de|около|почти|примерно|более|свыше)\W*$|(?:约|大约|近|超过|将近)$",
    re.IGNORECASE,
)
_LABELS = ("step", "schritt", "paso", "шаг", "步骤", "option", "#")
# Most characters of a label before its number
_LABEL = 12
_SAME, _ROUNDED = 1e-9, 0.02
_CALENDAR = {"month", "day"}
# Characters before a conversion in which the converted number is searched
_AROUND = 60
_FACTORS = (0.6214, 0.3861, 2.2046, 3.2808, 2.54, 2.4711)
# Factors between metric units and miles, square miles, pounds, feet, inches, acres, both ways
_CONVERSIONS = (*_FACTORS, *(1 / factor for factor in _FACTORS))


def wrong_figures(claim: Text, evidence: Text, near: Text, before: Text) -> list[str]:
    """Return the numbers of the claim that the evidence lacks or has for something else, and that do not follow from
    two others. `near` are the evidence sentences that say nearly the same, `before` the answer before the claim.
    """
    distinct = {(q.readings, q.dimension): q for q in reversed(claim.quantities)}
    wrong: dict[str, None] = {}
    for quantity in reversed(distinct.values()):
        if _is_label(claim.text, quantity) or _stands_in(quantity, claim.text, evidence, near):
            continue
        own = _shared_quantities(claim, evidence, quantity)
        listed = _shared_quantities(before, evidence, quantity)
        if not is_worked_out(quantity, claim.text, own, listed, near.quantities):
            wrong[claim.text[quantity.start : quantity.end].strip()] = None
    return list(wrong)


def _is_label(text: str, quantity: Quantity) -> bool:
    """Whether the number is no figure: a word without a unit ("the first of two"), or the number of a step."""
    if quantity.spelled and not quantity.dimension:
        return True
    return quantity.start < _LABEL and text[: quantity.start].rstrip().lower().endswith(_LABELS)


def _shared_quantities(text: Text, evidence: Text, but: Quantity) -> list[Quantity]:
    shared = [own for own in text.quantities if any(_equal(own, stated) for stated in evidence.quantities)]
    return [quantity for quantity in shared if not _equal(quantity, but)]


def _stands_in(quantity: Quantity, text: str, evidence: Text, near: Text) -> bool:
    tolerance = _tolerance(text, quantity)
    alike = [stated for stated in evidence.quantities if _equal(quantity, stated, tolerance)]
    if not alike:
        written = text[quantity.start : quantity.end].strip()
        if not quantity.dimension and re.search(rf"(?<![\d.,]){re.escape(written)}(?![\d])", as_typed(evidence.text)):
            return True
        return _is_converted(quantity, text)
    counted = _counted_thing(text, quantity)
    if not counted or quantity.dimension:
        return True
    if any(counted.startswith(_counted_thing(evidence.text, stated)) for stated in alike):
        return True
    return not any(
        _counted_thing(near.text, stated) == counted and not _equal(quantity, stated) for stated in near.quantities
    )


def _tolerance(text: str, quantity: Quantity) -> float:
    return _NEARLY if _APPROXIMATE.search(text, max(0, quantity.start - 20), quantity.start) else 0.0


def _is_converted(quantity: Quantity, text: str) -> bool:
    """Whether it is a conversion in brackets of the number before it: 100 km (62 miles)."""
    if not text.endswith("(", 0, quantity.start):
        return False
    before = read_quantities(text[max(0, quantity.start - _AROUND) : quantity.start])
    written = {value / stated.factor for stated in before[-1:] for value in stated.readings} - {0.0}
    ratios = [value / quantity.factor / stated for value in quantity.readings for stated in written]
    return any(isclose(ratio, factor, rel_tol=_ROUNDED) for ratio in ratios for factor in _CONVERSIONS)


def _equal(first: Quantity, second: Quantity, tolerance: float = 0.0) -> bool:
    # A number without a unit is compared as written
    if first.dimension == second.dimension:
        factors = {1.0}
    elif {first.dimension, second.dimension} & _CALENDAR or (first.dimension and second.dimension):
        return False
    else:
        factors = {1.0, 1 / first.factor, second.factor}
    near = max(tolerance, _SAME)
    return any(
        isclose(value, other / factor, rel_tol=near) or isclose(value * factor, other, rel_tol=near)
        for value, other, factor in product(first.readings, second.readings, factors)
    )


def _counted_thing(text: str, quantity: Quantity) -> str:
    """Return the beginning of the word after a number, which it counts; empty: there is none."""
    match = WORD.match(text, quantity.end + 1) if text[quantity.end : quantity.end + 1] in (" ", "-") else None
    word = match[0].lower() if match else ""
    return "" if word in FUNCTION_WORDS or not word[:1].isalpha() else word[:5]


def are_equal(number: str, claim: Text, other: str, near: Text) -> bool:
    """Whether a number of the claim and one of the passages mean the same, with their units."""
    claimed = [quantity for quantity in claim.quantities if number in claim.text[quantity.start : quantity.end]]
    stated = [quantity for quantity in near.quantities if other in near.text[quantity.start : quantity.end]]
    return any(_equal(first, second, _tolerance(claim.text, first)) for first in claimed for second in stated)


def alternatives(claim: Text, near: Text) -> list[str]:
    alike = [q for q in near.quantities if q.dimension in {claimed.dimension for claimed in claim.quantities}]
    others = [q for q in alike if not any(_equal(q, claimed) for claimed in claim.quantities)]
    return list(dict.fromkeys(near.text[quantity.start : quantity.end].strip() for quantity in others))

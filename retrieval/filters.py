"""Filters on the metadata of documents, with one meaning in every ledger and every vector index.

    AllOf((equals("product", "QL-20"), Between("published", low=date(2026, 1, 1))))

A filter is an immutable value of names and values, which adapters always bind and never put into the text of a query. A
name is compared only with values of its kind (text, number, truth, day), and a document without it never matches, so
there is no NULL logic. Integers count as numbers, exact up to 2^53.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeAlias

from foundation.errors import InvalidRequest

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

# A value of metadata. An `int` counts as a `float`.
Value: TypeAlias = str | float | bool | date
# The form in which adapters store and compare values: text as it is, everything else as a number
Stored: TypeAlias = str | float


@dataclass(frozen=True, slots=True)
class OneOf:
    """Matches documents whose value is one of these, all of one kind. Without values, nothing matches."""

    key: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        if len({kind_of(value) for value in self.values}) > 1:
            raise InvalidRequest(
                f'The values for "{self.key}" are of several kinds. Give texts, numbers or days alone.'
            )

    @property
    def name(self) -> str:
        """The name under which adapters store the value."""
        return stored_name(self.key, self.values[0])

    @property
    def stored_values(self) -> list[Stored]:
        return [stored_value(value) for value in self.values]


@dataclass(frozen=True, slots=True)
class Between:
    """Matches documents whose number or day lies between the two, inclusive; `None` leaves a side open."""

    key: str
    low: Value | None = None
    high: Value | None = None

    def __post_init__(self) -> None:
        ends = [end for end in (self.low, self.high) if end is not None]
        kinds = {kind_of(end) for end in ends}
        if len(kinds) != 1 or not kinds <= {"number", "day"}:
            raise InvalidRequest(f'The range of "{self.key}" needs one or two numbers, or one or two days.')

    @property
    def name(self) -> str:
        return stored_name(self.key, self.low if self.low is not None else self.high)

    @property
    def ends(self) -> tuple[float, float]:
        """Both ends as numbers; an open one is infinite."""
        low, high = (None if end is None else float(stored_value(end)) for end in (self.low, self.high))
        return -math.inf if low is None else low, math.inf if high is None else high


@dataclass(frozen=True, slots=True)
class AllOf:
    """Matches where every part does. Without parts, everything matches."""

    parts: tuple[Where, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Matches where at least one part does. Without parts, nothing matches."""

    parts: tuple[Where, ...]


Leaf: TypeAlias = OneOf | Between
Where: TypeAlias = Leaf | AllOf | AnyOf


def equals(key: str, value: Value) -> OneOf:
    return OneOf(key, (value,))


def matches(where: Where, attributes: Mapping[str, Value]) -> bool:
    """Whether the attributes match the filter. This is the reference for every adapter.

    >>> matches(Between("pages", high=10), {"pages": 7})
    True
    >>> matches(equals("pages", "7"), {"pages": 7})
    False
    """
    match where:
        case AllOf(parts):
            return all(matches(part, attributes) for part in parts)
        case AnyOf(parts):
            return any(matches(part, attributes) for part in parts)
    value = attributes.get(where.key)
    if value is None:
        return False
    if isinstance(where, OneOf):
        return any(
            kind_of(value) == kind_of(wanted) and stored_value(value) == stored_value(wanted) for wanted in where.values
        )
    low, high = where.ends
    return stored_name(where.key, value) == where.name and low <= float(stored_value(value)) <= high


def simplify(where: Where | None) -> Where | bool:
    """Remove parts that decide nothing. Return `True` where everything matches, `False` where nothing can."""
    match where:
        case None:
            return True
        case AllOf(parts) | AnyOf(parts):
            deciding = isinstance(where, AnyOf)  # the value of a part that decides the whole
            simplified = [simplify(part) for part in parts]
            if any(part is deciding for part in simplified):
                return deciding
            undecided = tuple(part for part in simplified if not isinstance(part, bool))
            return (not deciding) if not undecided else undecided[0] if len(undecided) == 1 else type(where)(undecided)
        case OneOf(values=()):
            return False
        case _:
            return where


def bind_filter(
    where: Where | bool, mark: str, leaf: Callable[[Leaf, Callable[[Any], str]], str]
) -> tuple[str, dict[str, Any]]:
    """Return the SQL of a simplified filter and its values; `mark` spells a bound name, `leaf` one condition."""
    bound: dict[str, Any] = {}

    def bind(value: Any) -> str:
        bound[name := f"where_{len(bound)}"] = value
        return mark.format(name)

    def spell(part: Where) -> str:
        match part:
            case AllOf(parts) | AnyOf(parts):
                return f"({(' AND ' if isinstance(part, AllOf) else ' OR ').join(map(spell, parts))})"
            case _:
                return leaf(part, bind)

    return ("", {}) if isinstance(where, bool) else (f"AND {spell(where)}", bound)


def kind_of(value: Value) -> str:
    """Raises InvalidRequest: the value cannot be compared."""
    match value:
        case bool():
            return "truth"
        case int() | float() if math.isfinite(value):
            return "number"
        case str():
            return "text"
        case date() if not isinstance(value, datetime):
            return "day"
    raise InvalidRequest(f"{value!r} cannot be compared. Give a text, a finite number, true or false, or a day.")


def parse_value(value: Value) -> Value:
    """Return a value from JSON, with a text that spells a day as a date, since JSON has none.

    >>> parse_value("2026-01-15"), parse_value("QL-20")
    (datetime.date(2026, 1, 15), 'QL-20')
    """
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    return value


def stored_value(value: Value) -> Stored:
    match value:
        case str():
            return value
        case date():
            return float(value.toordinal())
        case _:
            return float(value)


def stored_name(key: str, value: Value | None) -> str:
    return f"{kind_of(value if value is not None else '')}:{key}"


def stored_attributes(attributes: Mapping[str, Value]) -> dict[str, Stored]:
    """Return the attributes as adapters store them, names prefixed with their kinds."""
    return {stored_name(key, value): stored_value(value) for key, value in attributes.items()}


def restored_attributes(values: Mapping[str, Stored]) -> dict[str, Value]:
    """Return the attributes from which `stored_attributes` made these values."""
    attributes: dict[str, Value] = {}
    for name, value in values.items():
        kind, _, key = name.partition(":")
        if kind == "day":
            attributes[key] = date.fromordinal(int(value))
        else:
            attributes[key] = bool(value) if kind == "truth" else value
    return attributes

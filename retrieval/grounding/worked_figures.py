"""Figures that follow from what was read by one step: a sum, difference, product, share, duration or conversion.

The step must be one that a reader can check, or any figure would follow from a long text by chance. Its operands stand in the answer
or the question, or in one list of a tool's JSON result; a conversion needs one figure alone.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import accumulate, combinations, islice, pairwise, permutations
from math import isclose
from typing import Any

from foundation.machine import deadline

NUMBER = re.compile(r"\d+(?:[.,'\u2019\u202f]\d+)*")
_DATE = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)")
_TIME = re.compile(r"(?<![\d:])([01]?\d|2[0-3]):([0-5]\d)(?!\d)")
# Whole numbers below this are counts, hours, months or places in a list, which nobody looks up
_SMALL = 13
# Factors of units of time, length, weight and area; the converted figure must stand in the answer, too
_UNITS = (60, 24, 7, 12, 3600, 0.6214, 2.2046, 3.2808, 2.54, 2.4711, 0.3861, 3.785)
# Thousand, million, billion: 1.2 million is 1,200,000
_SCALES = (1e3, 1e6, 1e9)
_EXACT, _ROUNDED = 1e-9, 0.006
_MOST_OPERANDS, _MOST_IN_LIST, _MOST_TIMES = 60, 12, 60
# Sums of a tool's lists, and figures of an answer that are added up: a hostile result or answer has any number of them
_MOST_SUMS, _MOST_ADDED = 100_000, 2_000


def readings_of(written: str) -> set[float]:
    """Return the values that a number may mean: "1.200" is 1.2 or 1200.

    >>> sorted(readings_of("1.200")), sorted(readings_of("1,234.5"))
    ([1.2, 1200.0], [1234.5])
    """
    plain = re.sub(r"['\u2019\u202f]", "", written)
    signs = re.findall(r"[.,]", plain)
    groups = re.split(r"[.,]", plain)
    readings = set[float]()
    if not signs or all(len(group) == 3 for group in groups[1:]):
        readings.add(float("".join(groups)))
    if len(signs) == 1 or (signs and signs[-1] not in signs[:-1]):
        readings.add(float(f"{''.join(groups[:-1])}.{groups[-1]}"))
    return readings or {float("".join(groups))}


class Figures:
    """The figures that were read, and those of the answer, which may be worked out from them."""

    def __init__(self, texts: Sequence[str], answer: str) -> None:
        self._texts = texts
        self._answer = [value for written in NUMBER.findall(answer) for value in readings_of(written)]
        self._written = answer

    @cached_property
    def _read(self) -> set[float]:
        read = {
            value for text in self._texts for written in set(NUMBER.findall(text)) for value in readings_of(written)
        }
        lines = {text.count("\n") + 1 for text in self._texts}
        sizes = {len(data) for result in self._results for _, data in _walk(result) if isinstance(data, dict | list)}
        return read | {float(count) for count in lines.union(sizes, map(len, self._lists))}

    @cached_property
    def _in_order(self) -> list[float]:
        return sorted(self._read)

    @cached_property
    def _results(self) -> list[Any]:
        return [*_results_in(self._texts)]

    @cached_property
    def _lists(self) -> list[tuple[float, ...]]:
        return [values for result in self._results for values in _lists_in(result)]

    @cached_property
    def _minutes(self) -> set[int]:
        return {*_durations(self._texts)}

    @cached_property
    def _days(self) -> set[float]:
        return _days_between([*self._texts, self._written])

    def are_known(self, written: str) -> bool:
        """Whether the number stands in what was read, or is too small to be looked up."""
        readings = readings_of(written)
        return any(value < _SMALL and value.is_integer() for value in readings) or any(map(self._has, readings))

    def work_out(self, written: str, *, percent: bool) -> str | None:
        """Return how the number follows in one step from figures that are known; `None` where it does not."""
        deadline.check()
        decimals = len(re.split(r"[.,]", written)[-1]) if re.search(r"[.,]", written) else 0
        half = 0.5 * 10**-decimals
        for value in readings_of(written):
            working = self._pair_up(value, half, percent=percent) or self._add_up(value) or self._from_lists(value)
            working = working or self._from_times(value) or self._convert(value, half, percent=percent)
            if working:
                return working
        return None

    @cached_property
    def _own(self) -> list[float]:
        """The figures of the answer that are known: the operands of a step."""
        return list(dict.fromkeys(item for item in self._answer if item < _SMALL or self._has(item)))[:_MOST_OPERANDS]

    def _has(self, value: float) -> bool:
        place = bisect_left(self._in_order, value - _EXACT * max(1.0, value))
        near = self._in_order[place] if place < len(self._in_order) else None
        return value in self._read or (near is not None and isclose(near, value, rel_tol=_EXACT))

    @cached_property
    def _pairs(self) -> list[_Step]:
        return sorted(step for a, b in permutations(self._own, 2) for step in _steps_of(a, b))

    def _pair_up(self, value: float, half: float, *, percent: bool) -> str | None:
        near = _between(self._pairs, value - half, value + half)
        steps = [step for step in near if value not in step.terms and (percent or not step.is_percent)]
        exact = (step for step in steps if step.is_exact and isclose(step.result, value, rel_tol=_EXACT))
        rounded = (step for step in steps if not step.is_exact and step.result >= 1)
        found = next(exact, None) or min(rounded, key=lambda step: abs(step.result - value), default=None)
        return found.working if found else None

    @cached_property
    def _sums_in_answer(self) -> list[_Step]:
        sums = (
            _Step(total, " + ", self._answer[start : start + count])
            for start in range(min(len(self._answer), _MOST_ADDED))
            for count, total in enumerate(accumulate(self._answer[start : start + _MOST_OPERANDS - 1]), start=1)
            if count > 1
        )
        return sorted(sums)

    def _add_up(self, value: float) -> str | None:
        """Return the sum of figures that follow each other in the answer."""
        found = _exactly(
            [step for step in _between(self._sums_in_answer, value, value) if value not in step.terms], value
        )
        return found.working if found else None

    def _from_times(self, value: float) -> str | None:
        for minutes in self._minutes:
            hours, rest = divmod(minutes, 60)
            if value == minutes or (value == rest and (hours in self._answer or not hours)):
                return f"{hours} h {rest} min between two times"
        return f"{value:g} days between two dates" if value in self._days else None

    def _convert(self, value: float, half: float, *, percent: bool) -> str | None:
        for scale in (*_SCALES, *((100,) if percent else ())):
            for other, sign in ((value * scale, "÷"), (value / scale, "×")):
                near = self._nearest(other)
                if near is not None and abs(near - other) <= half * (scale if sign == "÷" else 1 / scale):
                    return f"{near:g} {sign} {scale:,.0f}"
        for unit in _UNITS:
            for other, sign in ((value * unit, "÷"), (value / unit, "×")):
                if any(isclose(item, other, rel_tol=_ROUNDED) for item in self._own if item != value):
                    return f"{other:.4g} {sign} {unit:g}"
        near = self._nearest(value)
        return (
            f"{near:g}, rounded" if near is not None and not near.is_integer() and abs(near - value) <= half else None
        )

    def _nearest(self, value: float) -> float | None:
        place = bisect_left(self._in_order, value)
        around = self._in_order[max(0, place - 1) : place + 1]
        return min(around, key=lambda item: abs(item - value), default=None)

    @cached_property
    def _sums(self) -> list[_Step]:
        sums = (_Step(sum(terms), " + ", terms) for values in self._lists for terms in _terms_of(values))
        return sorted(islice(sums, _MOST_SUMS))

    def _from_lists(self, value: float) -> str | None:
        for count in (1.0, *self._own):
            if count and (found := _exactly(self._sums, value / count)):
                return found.working if count == 1 else f"{count:g} × ({found.working})"
        for item in self._own:
            if found := _exactly(self._sums, value + item) or _exactly(self._sums, item - value):
                return f"{found.working} - {item:g}"
            if found := _exactly(self._sums, value - item):
                return f"{found.working} + {item:g}"
        return None


@dataclass(frozen=True, slots=True)
class _Step:
    """A step of arithmetic: its result, its sign, and what it is made from."""

    result: float
    sign: str
    terms: Sequence[float]

    def __lt__(self, other: _Step) -> bool:
        return self.result < other.result

    @property
    def is_exact(self) -> bool:
        return self.sign in (" + ", " - ")

    @property
    def is_percent(self) -> bool:
        return self.sign in _IN_PERCENT

    @property
    def working(self) -> str:
        if self.is_exact:
            return self.sign.join(f"{term:g}" for term in self.terms)
        return self.sign.format(*(f"{term:g}" for term in self.terms))


_IN_PERCENT = ("{} ÷ {} in percent", "{1} to {0} in percent")


def _steps_of(a: float, b: float) -> Iterator[_Step]:
    results = {
        " + ": a + b, " - ": a - b, "{} × {}": a * b, "{} % of {}": a * b / 100,
        "{1} + {0} %": b * (1 + a / 100), "{1} - {0} %": b * (1 - a / 100),
    }  # fmt: skip
    if b:
        results |= {"{} ÷ {}": a / b} | dict(zip(_IN_PERCENT, (100 * a / b, 100 * abs(a - b) / b), strict=True))
    return (_Step(result, sign, (a, b)) for sign, result in results.items())


def _between(steps: Sequence[_Step], least: float, most: float) -> Sequence[_Step]:
    edge = _EXACT * max(1.0, abs(most))
    first, last = (
        find(steps, at, key=lambda step: step.result)
        for find, at in ((bisect_left, least - edge), (bisect_right, most + edge))
    )
    return steps[first:last]


def _exactly(steps: Sequence[_Step], value: float) -> _Step | None:
    near = (step for step in _between(steps, value, value) if isclose(step.result, value, rel_tol=_EXACT))
    return next(near, None)


def _terms_of(values: Sequence[float]) -> Iterator[Sequence[float]]:
    """Yield what of a list may be added up: all, and any part of a short one, or two that follow each other."""
    yield values
    if len(values) > _MOST_IN_LIST:
        yield from pairwise(values)
    else:
        for size in range(1, len(values)):
            yield from combinations(values, size)


def _results_in(texts: Sequence[str]) -> Iterator[Any]:
    """Yield the results of tools that are JSON."""
    for text in texts:
        if text.lstrip().startswith(("{", "[")):
            with suppress(ValueError, RecursionError):
                yield json.loads(text)


def _lists_in(result: Any) -> Iterator[tuple[float, ...]]:
    """Yield the numbers that stand under one key of a tool's JSON result."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for key, data in _walk(result):
        if isinstance(data, int | float) and not isinstance(data, bool):
            with suppress(OverflowError):  # JSON has numbers of any length
                found[key].append(float(data))
    yield from (tuple(values) for values in found.values() if len(values) > 1)


def _walk(result: Any) -> Iterator[tuple[str, Any]]:
    """Yield everything in a JSON value, in its order, with the key under which it stands."""
    waiting = [("", result)]
    while waiting:
        key, data = waiting.pop()
        yield key, data
        inner = (
            data.items() if isinstance(data, dict) else [(key, item) for item in data] if isinstance(data, list) else ()
        )
        waiting += reversed([*inner])


def _durations(texts: Sequence[str]) -> Iterator[int]:
    """Yield the minutes between any two times of day that were read."""
    times = list(dict.fromkeys(60 * int(h) + int(m) for text in texts for h, m in _TIME.findall(text)))[:_MOST_TIMES]
    for first, second in combinations(times, 2):
        yield from ((second - first) % 1440, (first - second) % 1440)


def _days_between(texts: Sequence[str]) -> set[float]:
    days = set[date]()
    for text in texts:
        for day in _DATE.findall(text):
            with suppress(ValueError):
                days.add(date(*map(int, day.split("-"))))
    few = sorted(days)[:_MOST_TIMES]
    return {float((second - first).days) for first, second in combinations(few, 2)}

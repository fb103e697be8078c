"""Figures that follow from what was read by one step: a sum, difference, product, share, duration or conversion.

The step must be one that a reader can check, or any figure would follow from a long text by chance. Its operands stand in the answer
or the question, or in one list of a tool's JSON result; a conversion needs one figure alone.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import cached_property
from itertools import combinations, pairwise
from math import isclose
from typing import Any

NUMBER = re.compile(r"\d+(?:[.,'\u2019\u202f]\d+)*")
_DATE = re.compile(r"(?<!\d)(\d{4})-(\d{2})-(\d{2})(?!\d)")
_TIME = re.compile(r"(?<![\d:])([01]?\d|2[0-3]):([0-5]\d)(?!\d)")
# Whole numbers below this are counts, hours, months or places in a list, which nobody looks up
_SMALL = 13
# Factors of units of time, length, weight and area; the converted figure must stand in the answer, too
_UNITS = (60, 24, 7, 12, 3600, 0.6214, 2.2046, 3.2808, 2.54, 2.4711, 0.3861, 3.785)
# Thousand, million, billion: 1.2 million is 1,200,000
_SCALES = (1e3, 1e6, 1e9)
_EXACT, _ROUNDED = 1e-9, 0.006
_MOST_OPERANDS, _MOST_IN_LIST, _MOST_TIMES = 60, 12, 60


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
        counts = {len(values) for values in self._lists} | {*_counts_in(self._texts)}
        return read | {float(count) for count in counts}

    @cached_property
    def _in_order(self) -> list[float]:
        return sorted(self._read)

    @cached_property
    def _lists(self) -> list[tuple[float, ...]]:
        return [*_lists_in(self._texts)]

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
        decimals = len(re.split(r"[.,]", written)[-1]) if re.search(r"[.,]", written) else 0
        half = 0.5 * 10**-decimals
        own = list(dict.fromkeys(item for item in self._answer if item < _SMALL or self._has(item)))[:_MOST_OPERANDS]
        for value in readings_of(written):
            working = (
                self._pair_up(value, own, half, percent=percent) or self._add_up(value) or self._from_lists(value, own)
            )
            working = working or self._from_times(value) or self._convert(value, own, half, percent=percent)
            if working:
                return working
        return None

    def _has(self, value: float) -> bool:
        place = bisect_left(self._in_order, value - _EXACT * max(1.0, value))
        near = self._in_order[place] if place < len(self._in_order) else None
        return value in self._read or (near is not None and isclose(near, value, rel_tol=_EXACT))

    def _pair_up(self, value: float, own: Sequence[float], half: float, *, percent: bool) -> str | None:
        others = [item for item in own if item != value]
        pairs = (_work_out_pair(value, *pair, half, percent=percent) for pair in combinations(others, 2))
        return next(filter(None, pairs), None)

    def _add_up(self, value: float) -> str | None:
        """Return the sum of figures that follow each other in the answer."""
        for start in range(len(self._answer)):
            total = 0.0
            for count, item in enumerate(self._answer[start : start + _MOST_OPERANDS]):
                if count > 1 and isclose(total, value, rel_tol=_EXACT):
                    return " + ".join(f"{term:g}" for term in self._answer[start : start + count])
                total += item
        return None

    def _from_times(self, value: float) -> str | None:
        for minutes in self._minutes:
            hours, rest = divmod(minutes, 60)
            if value == minutes or (value == rest and (hours in self._answer or not hours)):
                return f"{hours} h {rest} min between two times"
        return f"{value:g} days between two dates" if value in self._days else None

    def _convert(self, value: float, own: Sequence[float], half: float, *, percent: bool) -> str | None:
        for scale in (*_SCALES, *((100,) if percent else ())):
            for other, sign in ((value * scale, "÷"), (value / scale, "×")):
                near = self._nearest(other)
                if near is not None and abs(near - other) <= half * (scale if sign == "÷" else 1 / scale):
                    return f"{near:g} {sign} {scale:,.0f}"
        for unit in _UNITS:
            for other, sign in ((value * unit, "÷"), (value / unit, "×")):
                if any(isclose(item, other, rel_tol=_ROUNDED) for item in own if item != value):
                    return f"{other:.4g} {sign} {unit:g}"
        near = self._nearest(value)
        return (
            f"{near:g}, rounded" if near is not None and not near.is_integer() and abs(near - value) <= half else None
        )

    def _nearest(self, value: float) -> float | None:
        place = bisect_left(self._in_order, value)
        around = self._in_order[max(0, place - 1) : place + 1]
        return min(around, key=lambda item: abs(item - value), default=None)

    def _from_lists(self, value: float, own: Sequence[float]) -> str | None:
        for values in self._lists:
            sums = {sum(values): values, **_sums_of(values)}
            for total, terms in sums.items():
                working = " + ".join(f"{term:g}" for term in terms)
                for count in {1.0, *own}:
                    if isclose(total * count, value, rel_tol=_EXACT):
                        return working if count == 1 else f"{count:g} × ({working})"
                for item in own:
                    if isclose(abs(total - item), value, rel_tol=_EXACT) or isclose(
                        total + item, value, rel_tol=_EXACT
                    ):
                        return f"{working} {'+' if total + item == value else '-'} {item:g}"
        return None


def _work_out_pair(value: float, first: float, second: float, half: float, *, percent: bool) -> str | None:
    for a, b in ((first, second), (second, first)):
        steps = {f"{a:g} + {b:g}": a + b, f"{a:g} - {b:g}": a - b}
        near = {f"{a:g} × {b:g}": a * b, f"{a:g} % of {b:g}": a * b / 100}
        near |= {f"{b:g} {sign} {a:g} %": b * (1 + factor * a / 100) for sign, factor in (("+", 1), ("-", -1))}
        if b:
            near[f"{a:g} ÷ {b:g}"] = a / b
        if b and percent:
            near |= {f"{a:g} ÷ {b:g} in percent": 100 * a / b, f"{b:g} to {a:g} in percent": 100 * abs(a - b) / b}
        exact = (step for step, result in steps.items() if isclose(result, value, rel_tol=_EXACT))
        rounded = (step for step, result in near.items() if abs(result - value) <= half and result >= 1)
        if working := next(exact, None) or next(rounded, None):
            return working
    return None


def _sums_of(values: Sequence[float]) -> dict[float, tuple[float, ...]]:
    if len(values) > _MOST_IN_LIST:
        return {a + b: (a, b) for a, b in pairwise(values)}
    return {sum(chosen): chosen for size in range(1, len(values) + 1) for chosen in combinations(values, size)}


def _lists_in(texts: Sequence[str]) -> Iterator[tuple[float, ...]]:
    """Yield the numbers that stand under one key of a tool's JSON result."""
    for text in texts:
        if not text.lstrip().startswith(("{", "[")):
            continue
        try:
            found: dict[str, list[float]] = {}
            _collect(json.loads(text), "", found)
        except (ValueError, RecursionError):
            continue
        yield from (tuple(values) for values in found.values() if len(values) > 1)


def _collect(data: Any, key: str, found: dict[str, list[float]]) -> None:
    if isinstance(data, Mapping):
        for name, value in data.items():
            _collect(value, str(name), found)
    elif isinstance(data, list):
        for item in data:
            _collect(item, key, found)
    elif isinstance(data, int | float) and not isinstance(data, bool):
        found.setdefault(key, []).append(float(data))


def _counts_in(texts: Sequence[str]) -> Iterator[int]:
    for text in texts:
        yield text.count("\n") + 1
        if text.lstrip().startswith(("{", "[")):
            yield from _sizes_of(text)


def _sizes_of(text: str) -> Iterator[int]:
    try:
        waiting = [json.loads(text)]
    except (ValueError, RecursionError):
        return
    while waiting:
        data = waiting.pop()
        if isinstance(data, Mapping | list):
            yield len(data)
            waiting += data.values() if isinstance(data, Mapping) else data


def _durations(texts: Sequence[str]) -> Iterator[int]:
    """Yield the minutes between any two times of day that were read."""
    times = list(dict.fromkeys(60 * int(h) + int(m) for text in texts for h, m in _TIME.findall(text)))[:_MOST_TIMES]
    for first, second in combinations(times, 2):
        yield from ((second - first) % 1440, (first - second) % 1440)


def _days_between(texts: Sequence[str]) -> set[float]:
    days = set[date]()
    for text in texts:
        for year, month, day in _DATE.findall(text):
            try:
                days.add(date(int(year), int(month), int(day)))
            except ValueError:
                continue
    few = sorted(days)[:_MOST_TIMES]
    return {float((second - first).days) for first, second in combinations(few, 2)}

"""Texts on which a pattern's engine tries the most, made of the pattern's own parts, and how its work grows with them.

Work is counted in processor time of this thread and compared with itself: four times the text may be four times the work,
and not sixteen times. No absolute time decides.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

# Beside the pattern's own parts: what people, models and documents have in long rows
COMMON = (
    *"aA1-., \n\t'\"([</:一é@*|`_#",
    "a ",
    "A ",
    "1 ",
    "1,",
    "1.",
    "a.",
    "a, ",
    "a-",
    "' ",
    "Aa ",
    "a@",
    "a\n",
    "I ",
    "```",
)
ENDS = ("", "!", "\0\n")
SIZES = (16, 20, 24, 48, 96, 400, 1600, 6400)
# Seconds from which on a time says something, and how much more four times the text may take
NOTICEABLE_S, GROWTH = 0.01, 8.0
# Seconds from which on a time can be compared at all, and how much more four times the text may take at `SIZES[-1]`, so that
# from there on it cannot be `GROWTH`: who takes an + bn² and 4.6 times as much here, takes 6.1 times as much at four times the size
COMPARABLE_S, LINEAR = 0.0001, 4.6
_REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT)
_CATEGORIES = {
    op.CATEGORY_DIGIT: "1", op.CATEGORY_SPACE: "\t", op.CATEGORY_WORD: "a",
    op.CATEGORY_NOT_SPACE: "a", op.CATEGORY_NOT_WORD: "-", op.CATEGORY_NOT_DIGIT: "a",
}  # fmt: skip


def growth(work: Callable[[str], object], begin: str, unit: str, end: str) -> float:
    """Return how many times more work four times as many units are, once it can be measured; 1.0 where it never can."""

    def taken_s(size: int) -> float:
        text = begin + unit * (size // len(unit) + 1) + end
        start = time.thread_time()
        work(text)
        return time.thread_time() - start

    few = most = 0.0
    for size in SIZES:
        few, most = most, taken_s(size)
        if most > NOTICEABLE_S:
            return _ratio(taken_s, size // 4, size, most)
    if most * 16 < NOTICEABLE_S:
        return 1.0
    # the two last sizes are four times each other
    if few > COMPARABLE_S and most < LINEAR * min(few, taken_s(SIZES[-2])):
        return most / few
    return _ratio(taken_s, SIZES[-1], 4 * SIZES[-1], taken_s(4 * SIZES[-1]))


def _ratio(taken_s: Callable[[int], float], size: int, longer: int, most: float) -> float:
    few = min(taken_s(size) for _ in range(3))
    for _ in range(5):
        # a crowded machine makes some measures longer, and none shorter
        if most <= GROWTH * few or most > 1:
            break
        few, most = max(few, min(taken_s(size) for _ in range(3))), min(most, taken_s(longer))
    return most / max(few, 1e-6)


def worst_texts(pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    """Return pairs of a beginning and a unit to repeat: what each part of the pattern matches, alone and after what stands before."""
    found = dict.fromkeys(("", unit) for unit in COMMON)
    found |= dict.fromkeys(_units(_parser.parse(pattern.pattern, pattern.flags), ""))
    return list(found)


def _units(tree: Sequence[Any], before: str) -> Iterator[tuple[str, str]]:
    for code, given in tree:
        for inside in _inside(code, given):
            yield from _units(inside, before)
        if code in _REPEATS and given[1] >= 20:
            for choice in range(3):
                if unit := _sample(given[2], choice):
                    yield from ((begin, unit) for begin in ("", before[-20:]))
                    yield "", before[-8:] + unit
        before = (before + _sample([(code, given)], 1))[-60:]
    if len(tree) > 1:
        yield from (("", whole) for choice in range(2) if (whole := _sample(tree, choice)))


def _inside(code: Any, given: Any) -> Sequence[Any]:
    if code is op.BRANCH:
        return list(given[1])
    if code in (op.ASSERT, op.ASSERT_NOT):
        return [given[1]]
    if code is op.ATOMIC_GROUP:
        return [given]
    return [given[3]] if code is op.SUBPATTERN else [given[2]] if code in _REPEATS else []


def _sample(tree: Sequence[Any], choice: int) -> str:
    """Return a text that the parts would match, each alternative and class by its `choice`."""
    text = ""
    for code, given in tree:
        if code is op.LITERAL:
            text += chr(given)
        elif code is op.IN:
            text += _member(given, choice)
        elif code is op.BRANCH:
            text += _sample(given[1][choice % len(given[1])], choice)
        elif code in _REPEATS:
            text += _sample(given[2], choice) * min(max(given[0], choice % 2), 3)
        elif code in (op.ANY, op.NOT_LITERAL):
            text += "a" if code is op.ANY or chr(given) != "a" else "b"
        elif code in (op.SUBPATTERN, op.ATOMIC_GROUP):
            text += _sample(_inside(code, given)[0], choice)
    return text


def _member(members: Sequence[Any], choice: int) -> str:
    if members[0][0] is op.NEGATE:
        signs = "a 0-.,x\n_é一~"
        return next((sign for sign in signs if not any(_is_in(sign, one) for one in members[1:])), "¤")
    code, given = members[choice % len(members)]
    return _CATEGORIES.get(given, "a") if code is op.CATEGORY else chr(given[0] if code is op.RANGE else given)


def _is_in(sign: str, member: tuple[Any, Any]) -> bool:
    code, given = member
    if code is op.LITERAL:
        return ord(sign) == given
    if code is op.RANGE:
        return bool(given[0] <= ord(sign) <= given[1])
    kinds = {op.CATEGORY_DIGIT: r"\d", op.CATEGORY_NOT_DIGIT: r"\D", op.CATEGORY_SPACE: r"\s", op.CATEGORY_NOT_SPACE: r"\S",
             op.CATEGORY_WORD: r"\w", op.CATEGORY_NOT_WORD: r"\W"}  # fmt: skip
    return re.match(kinds[given], sign) is not None

"""Patterns and JSON schemas of somebody else, a caller or the server of a tool, and how long they may keep us busy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import regex

from foundation.errors import InvalidRequest
from foundation.machine import deadline

PATTERN_S = 1.0
"""Seconds that one search for somebody else's pattern may take, whatever stands in it."""

T = TypeVar("T")


def in_time(pattern: str, search: Callable[..., T]) -> T:
    """What `search` gives, a search for `pattern` by the library `regex` that takes a `timeout`.

    `re` can be kept busy for hours, and every other thread with it; `regex` can be given a time, and lets the others work.

    Raises:
        InvalidRequest: it took longer than `PATTERN_S`. BudgetExceeded, Abandoned: the work that it is part of has to end.
    """
    try:
        return search(timeout=min(PATTERN_S, deadline.remaining_s()))
    except TimeoutError as error:
        deadline.check()
        raise InvalidRequest(
            f"A search for the pattern {pattern[:100]!r} takes longer than {PATTERN_S:g} s in this text. Write a simpler "
            "pattern, or send less text."
        ) from error


def bound_validator(validator: Any) -> Any:
    """Make a JSON schema validator of this kind whose pattern searches end, and which looks at the time at each keyword: a
    list and a schema of some thousand parts each have millions of pairs."""
    from jsonschema.exceptions import ValidationError
    from jsonschema.validators import extend

    def pattern(_: Any, wanted: str, instance: Any, __: Any) -> Iterator[ValidationError]:
        if isinstance(instance, str) and not in_time(wanted, partial(regex.search, wanted, instance)):
            yield ValidationError(f"{instance[:100]!r} does not match {wanted!r}")

    def looking_at_the_time(keyword: Callable[..., Any]) -> Callable[..., Any]:
        def check_time_first(*arguments: Any) -> Any:
            deadline.check()
            return keyword(*arguments)

        return check_time_first

    keywords = {**validator.VALIDATORS, "pattern": pattern}
    return extend(validator, {name: looking_at_the_time(keyword) for name, keyword in keywords.items()})

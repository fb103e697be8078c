"""Time limits for foreign patterns and JSON schemas, which come from callers or servers of tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import regex

from foundation.errors import InvalidRequest
from foundation.machine import deadline

PATTERN_S = 1.0
"""Most seconds of one search for a foreign pattern."""

T = TypeVar("T")


def in_time(pattern: str, search: Callable[..., T]) -> T:
    """Run `search`, a search for `pattern` by the library `regex`, with a `timeout`, and return its result.

    `re` can block all threads for hours; `regex` takes a time limit and releases the lock.

    Raises:
        InvalidRequest: the search took longer than `PATTERN_S`. BudgetExceeded, Abandoned: the deadline of the work has passed.
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
    """Return a JSON schema validator with a time limit for patterns that checks the deadline at each keyword: a list
    and a schema of some thousand parts each have millions of pairs."""
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

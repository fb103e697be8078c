"""Patterns and JSON schemas of strangers, callers or servers of tools, searched and checked within a time limit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import regex

from foundation.errors import InvalidRequest
from foundation.machine import deadline

if TYPE_CHECKING:
    from jsonschema import FormatChecker, ValidationError

# Most seconds of one search for a foreign pattern
PATTERN_S = 1.0
# Most characters of a caller's JSON schema
SCHEMA_CHARACTERS = 50_000

T = TypeVar("T")


def in_time(pattern: str, search: Callable[..., T]) -> T:
    """Run `search`, a search for `pattern` by the library `regex`, with a `timeout`, and return its result. Raises
    InvalidRequest: it took longer than `PATTERN_S`. BudgetExceeded, Abandoned: the deadline of the work has passed.
    """
    # `re` can block all threads for hours; `regex` takes a time limit and releases the lock
    try:
        return search(timeout=min(PATTERN_S, deadline.remaining_s()))
    except TimeoutError as error:
        deadline.check()
        raise InvalidRequest(
            f"A search for the pattern {pattern[:100]!r} takes longer than {PATTERN_S:g} s in this text. Write a simpler "
            "pattern, or send less text."
        ) from error


def as_word(pattern: str) -> str:
    """Return a schema's pattern of a whole value as one of a word within a text."""
    return rf"(?<!\w){_bare(pattern)}(?!\w)"


def first_spelling(text: str, pattern: str, timeout: float) -> str | None:
    """Return the first word that fits a schema's pattern, as it stands, in capitals or in small letters; `None` where none does."""
    match = regex.search(as_word(pattern), text, regex.IGNORECASE, timeout=timeout)
    spellings = (match.group(), match.group().upper(), match.group().lower()) if match else ()
    return next((word for word in spellings if regex.fullmatch(_bare(pattern), word, timeout=timeout)), None)


def _bare(pattern: str) -> str:
    return pattern.removeprefix("^").removesuffix("$")


def check_schema(schema: Mapping[str, Any], demand: Callable[[Any], object] = lambda _: None) -> None:
    """Check a caller's schema. Called off the event loop. `demand` may refuse it before its references are followed.
    Raises InvalidRequest: it is no JSON schema of an object, is too long, or refers to something outside of it or
    endlessly to itself.
    """
    from jsonschema import Draft202012Validator, SchemaError
    from referencing.exceptions import Unresolvable

    try:
        if (length := len(json.dumps(schema, ensure_ascii=False))) > SCHEMA_CHARACTERS:
            raise InvalidRequest(
                f"A schema has at most {SCHEMA_CHARACTERS:,} characters; this one has {length:,}. Ask for less at once."
            )
        Draft202012Validator.check_schema(schema)
        if schema.get("type") != "object":
            raise InvalidRequest('The schema must be of an object: {"type": "object", "properties": {...}}.')
        demand(schema)
        find_mistake({}, schema)
    except SchemaError as error:
        raise InvalidRequest(f"This is no JSON schema: {error.message[:200]}.") from error
    except (Unresolvable, RecursionError, OverflowError) as error:
        raise InvalidRequest(
            "This JSON schema cannot be read: it refers to itself without an end or to something that is not in it, or a "
            "number in it is too large."
        ) from error


def has_key_patterns(schema: Mapping[str, Any]) -> bool:
    """Whether a schema has patterns of keys: three keywords of `jsonschema` search for them with `re`, without an end."""
    return '"patternProperties": {' in json.dumps(schema, ensure_ascii=False)


def find_mistake(value: Any, schema: Mapping[str, Any], formats: FormatChecker | None = None) -> str:
    """Return where a value breaks which keyword of a schema; empty where it fits."""
    error = find_error(value, schema, formats)
    path = ".".join(map(str, error.absolute_path)) if error else ""
    return f"{path or 'the object'} breaks {error.validator}" if error else ""


def find_error(value: Any, schema: Mapping[str, Any], formats: FormatChecker | None = None) -> ValidationError | None:
    """Return the error that says best why a value does not fit a schema; `None` where it fits."""
    from jsonschema import Draft202012Validator, ValidationError
    from jsonschema.exceptions import best_match
    from jsonschema.validators import extend
    from jsonschema_specifications import REGISTRY

    if has_key_patterns(schema):
        raise InvalidRequest("A schema with patternProperties is not taken. Write the properties out.")

    def pattern(_: Any, wanted: str, instance: Any, __: Any) -> Iterator[ValidationError]:
        if isinstance(instance, str) and not in_time(wanted, partial(regex.search, wanted, instance)):
            yield ValidationError(f"{instance[:100]!r} does not match {wanted!r}")

    def looking_at_the_time(keyword: Callable[..., Any]) -> Callable[..., Any]:
        def check_time_first(*arguments: Any) -> Any:
            deadline.check()
            return keyword(*arguments)

        return check_time_first

    # at each keyword: a list and a schema of some thousand parts each have millions of pairs
    keywords = {**Draft202012Validator.VALIDATORS, "pattern": pattern}
    bound = extend(Draft202012Validator, {name: looking_at_the_time(keyword) for name, keyword in keywords.items()})
    by_its_part = bound.evolve

    def stay_bound(self: Any, **changes: Any) -> Any:
        # for a part with a "$schema" of its own `jsonschema` takes its own class, whose patterns run without an end
        if isinstance(part := changes.get("schema"), Mapping):
            changes["schema"] = {key: item for key, item in part.items() if key != "$schema"}
        return by_its_part(self, **changes)

    bound.evolve = stay_bound
    # the default registry would fetch what a stranger's schema refers to
    return best_match(bound(schema, format_checker=formats, registry=REGISTRY).iter_errors(value))

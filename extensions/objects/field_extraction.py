"""Extraction of an object's fields from a text: numbers, dates, choices, patterns, names. No model is used.

One assignment matches all values to all fields, by nearness to the words of the field's name and description.
Text and schema come from strangers: every step is linear in their lengths, and every loop checks the deadline.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from extensions.objects.text_values import (
    Found,
    Reading,
    mark,
    read_codes,
    read_dates,
    read_rows,
    read_sentences,
    read_times,
)
from foundation.machine.deadline import check
from foundation.text.lexical import denies, terms
from foundation.text.patterns import first_spelling, in_time

# A string field of this `maxLength` or more, or described as free text, takes a sentence; a shorter one a phrase
FREE_TEXT = 100
# Least score of a value for an optional field; a required one takes the best there is
ENOUGH = 0.5
_NEAR, _CAPITALS = 0.6, 0.3
# Formats whose values say by themselves what they are
_TELLING = frozenset({"date", "date-time", "time", "email", "uri"})
# Score of what is no candidate of a field
NONE = -9.0

_FREE = re.compile(
    r"\b(?:text|message|summary|note|reason|problem|comment|description|details|what happened|wish)\b", re.IGNORECASE
)
_NAMED = re.compile(
    r"\b(?:name|who|person|customer|company|city|town|country|place|street|brand|author)\b", re.IGNORECASE
)
# Keywords that a candidate has to keep to
_LIMITS = frozenset(
    "type minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength".split()  # noqa: SIM905 - a list of names reads as text
)

Finder = Callable[["Reading"], Iterable["Found"]]


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    schema: Mapping[str, Any]
    required: bool
    words: str
    """The field's name and description, to be found in the text."""


def fields_of(schema: Mapping[str, Any]) -> list[Field]:
    """Return the top-level fields of an object's JSON schema, with references followed and `null` taken out of unions."""
    merged = {name: _merge_schema(part, schema) for name, part in schema.get("properties", {}).items()}
    return [
        Field(name, own, name in schema.get("required", ()), f"{name.replace('_', ' ')}: {own.get('description', '')}")
        for name, own in merged.items()
    ]


def fill_fields(fields: Sequence[Field], text: str) -> dict[str, Any]:
    """Return the fields' values in the text, without optional ones that match too little and required ones without a candidate."""
    from scipy.optimize import linear_sum_assignment

    reading = Reading(text)
    read = {field.name: _read_stated(field, reading) for field in fields}
    values = {name: value for name, value in read.items() if value is not None}
    used = _places_of(values.values(), text)
    labels = frozenset().union(*(terms(field.words) for field in fields))
    open_fields = [field for field in fields if field.name not in values]
    scored = [
        {
            found.span: (score, found.value)
            for score, found in _score_values(field, reading, labels)
            if used.find(1, *found.span) < 0
        }
        for field in open_fields
    ]
    spans = sorted({span for candidates in scored for span in candidates})
    scores = np.array([[candidates.get(span, (NONE, None))[0] for span in spans] for candidates in scored])
    for row, column in zip(*linear_sum_assignment(scores, maximize=True), strict=True) if spans else ():
        score, value = scored[row].get(spans[column], (NONE, None))
        if score >= (0 if open_fields[row].required else ENOUGH):
            values[open_fields[row].name] = value
    return values


# -- what a field may be ---------------------------------------------------------------------------------------------


def _merge_schema(definition: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in definition:
        definition = {**schema.get("$defs", {}).get(definition["$ref"].rpartition("/")[2], {}), **definition}
    branches = [option for option in definition.get("anyOf", ()) if option.get("type") != "null"]
    own = {key: definition[key] for key in definition if key != "anyOf"}
    return {**_merge_schema(branches[0], schema), **own} if branches else own


def _read_stated(field: Field, reading: Reading) -> Any:
    """Return a value that needs no comparison: a constant, a pattern, a named choice, a yes or no; else `None`."""
    schema, text = field.schema, reading.text
    check()
    if "const" in schema:
        return schema["const"]
    if "pattern" in schema:
        return in_time(schema["pattern"], partial(first_spelling, text, schema["pattern"]))
    if schema.get("type") == "array" and "enum" in schema.get("items", {}):
        return _named_choices(schema["items"]["enum"], text) or None
    if "enum" in schema:
        named = _named_choices(schema["enum"], text)
        return named[0] if len(named) == 1 else None
    if schema.get("type") == "boolean":
        return _read_yes_or_no(field, reading)
    return None


def _named_choices(choices: Sequence[Any], text: str) -> list[Any]:
    named = []
    for choice in choices:
        check()
        if re.search(rf"(?<!\w){re.escape(str(choice).replace('_', ' '))}(?!\w)", text, re.IGNORECASE):
            named.append(choice)
    return named


def _read_yes_or_no(field: Field, reading: Reading) -> bool | None:
    """Read a yes or no from the sentence nearest to the field's words; `None` where an optional one lacks its whole name."""
    name, wanted = terms(field.name.replace("_", " ")), terms(field.words)
    sentences = [reading.text[start:end] for start, end in reading.sentences]
    best = max(sentences, key=lambda sentence: len(wanted & reading.terms_of(sentence)), default="")
    if field.required:
        return bool(wanted & reading.terms_of(best)) and not denies(best)
    return not denies(best) if name and name <= reading.terms_of(best) else None


def _places_of(values: Iterable[Any], text: str) -> bytearray:
    used = bytearray(len(text))
    for value in values:
        check()
        for match in re.finditer(re.escape(str(value)), text):
            mark(used, *match.span())
    return used


def _finder(field: Field) -> Finder:  # noqa: PLR0911 - one line a kind of field reads best
    schema = field.schema
    match schema.get("type"), schema.get("format"):
        case ("integer", _):
            return lambda reading: (
                replace(number, value=int(number.value)) for number in reading.numbers if number.value.is_integer()
            )
        case ("number", _):
            return lambda reading: reading.numbers
        case ("array", _) if schema.get("items", {}).get("type") in ("integer", "number"):
            return partial(read_rows, whole=schema["items"]["type"] == "integer")
        case ("string", "date" | "date-time" as form):
            return lambda reading: read_dates(reading.text, with_time=form == "date-time")
        case ("string", "time"):
            return lambda reading: read_times(reading.text)
        case ("string", "email" | "uri" as form):
            sign = {"email": "@", "uri": "://"}[form]
            return lambda reading: (code for code in read_codes(reading.text) if sign in code.value)
        case ("string", _) if "enum" not in schema:
            return read_sentences if _is_free(field) else lambda reading: reading.phrases
        case _:
            return lambda _: ()


def _is_free(field: Field) -> bool:
    return field.schema.get("maxLength", 0) >= FREE_TEXT or _FREE.search(field.words) is not None


# -- which candidate is whose ----------------------------------------------------------------------------------------


def _score_values(field: Field, reading: Reading, labels: frozenset[str]) -> Iterator[tuple[float, Found]]:
    """Yield the values that the field may have, without those that only name fields ("Order number", "USD"), with their scores."""
    from jsonschema import Draft202012Validator

    limits = Draft202012Validator({key: field.schema[key] for key in _LIMITS & field.schema.keys()})
    name, free = terms(field.name.replace("_", " ")), _is_free(field)
    described = _word_places(terms(field.schema.get("description", "")), reading)
    weighted = [(1.0, _word_places(name, reading)), (0.7, described)]
    alone = ENOUGH * (field.schema.get("format") in _TELLING)
    for candidate in _finder(field)(reading):
        check()
        text = reading.text[candidate.start : candidate.end]
        label = isinstance(candidate.value, str) and reading.terms_of(candidate.value) <= labels
        if label or not limits.is_valid(candidate.value):
            continue
        if free:
            near = float(bool(name & reading.terms_of(text)))
        else:
            near = max(weight / (0.7 + 0.3 * _distance(places, candidate, reading)) for weight, places in weighted)
        capital = _CAPITALS * bool(_NAMED.search(field.words) and _is_named(candidate, text, reading))
        yield alone + _NEAR * near + capital, candidate


def _word_places(wanted: Iterable[str], reading: Reading) -> list[int]:
    return sorted({place for term in wanted for place in reading.places_of_terms.get(term, ())})


def _distance(places: Sequence[int], candidate: Found, reading: Reading) -> float:
    """Return the number of words to the nearest of these places in the sentence: 1 within the candidate, infinity without one."""
    first, before, after, last = reading.around(candidate)
    left, right = bisect_left(places, before) - 1, bisect_left(places, after)
    if right > left + 1:
        return 1
    to_left = before - places[left] if left >= 0 and places[left] >= first else float("inf")
    return min(to_left, places[right] - after + 1 if right < len(places) and places[right] < last else float("inf"))


def _is_named(candidate: Found, text: str, reading: Reading) -> bool:
    """Whether the candidate is written as a name, with a capital that is not just that of a sentence's first word."""
    begins_sentence = " " not in text and reading.sentence_at(candidate.start)[0] == candidate.start
    return text[0].isupper() and not any(map(str.isdigit, text)) and not begins_sentence

"""Extraction of an object's fields from a text: numbers, dates, choices, patterns, names. No language model is used.

One assignment matches all candidates to all fields: by nearness to the words of the field's name and description, by
meaning, and by order. Text and schema come from strangers: every step is linear in their lengths, and every loop
checks the deadline.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from foundation.machine.deadline import check
from foundation.text.lexical import denies, terms
from models.contract import Embeddings
from models.embedding import embed
from orchestration.answers.text_values import (
    Found,
    Reading,
    mark,
    read_choices,
    read_codes,
    read_dates,
    read_rows,
    read_sentences,
    read_times,
)
from orchestration.language.stated_arguments import by_pattern, has_word

# A string field of this `maxLength` or more, or described as free text, takes a sentence; a shorter one a phrase
FREE_TEXT = 100
# Number of words on each side of a candidate that are embedded with it
WINDOW = 6
# Most characters on each side for those words, since text without spaces is one long word
WINDOW_CHARACTERS = 400
# Number of texts that are embedded between two checks of the deadline
BATCH = 64
# Least score of a match for an optional field; a required one takes the best there is
ENOUGH = 0.6
_NEAR, _ORDER, _CAPITALS = 0.6, 0.1, 0.3

_FREE = re.compile(
    r"\b(?:text|message|summary|note|reason|problem|comment|description|details|what happened|wish)\b", re.IGNORECASE
)
_NAMED = re.compile(
    r"\b(?:name|who|person|customer|company|city|town|country|place|street|brand|author)\b", re.IGNORECASE
)
_LIMITS = {
    "type",
    "enum",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
}

Finder = Callable[["Reading"], Iterable["Found"]]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the object, from its schema."""

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


def fill_fields(fields: Sequence[Field], text: str, embedder: Embeddings) -> dict[str, Any]:
    """Return the values that the text has for the fields, without optional ones that match too little and required ones
    without a candidate. Raises ComponentError: the embedder failed.
    """
    from scipy.optimize import linear_sum_assignment

    reading = Reading(text)
    read = {field.name: _read_stated(field, reading) for field in fields}
    values = {name: value for name, value in read.items() if value is not None}
    labels = frozenset().union(*(terms(field.words) for field in fields))
    used = _places_of(values.values(), text)
    open_ = []
    for field in fields:
        candidates = [
            candidate
            for candidate in _candidates(field, reading)
            if not _is_label(candidate, labels, reading) and used.find(1, candidate.start, candidate.end) < 0
        ]
        if candidates and field.name not in values:
            open_.append((field, candidates))
    if not open_:
        return values
    spans = sorted({candidate.span for _, candidates in open_ for candidate in candidates})
    scores = _scores(open_, spans, reading, embedder)
    for row, column in zip(*linear_sum_assignment(-scores), strict=True):
        field, candidates = open_[row]
        value = next((candidate.value for candidate in candidates if candidate.span == spans[column]), None)
        if value is not None and (field.required or scores[row, column] >= ENOUGH):
            values[field.name] = value
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
        return by_pattern(text, schema["pattern"])
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
        if has_word(text, str(choice).replace("_", " ")):
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


def _candidates(field: Field, reading: Reading) -> Iterator[Found]:
    schema = field.schema
    fits = _within(schema)
    for candidate in _finder(field)(reading):
        check()
        if fits(candidate.value):
            yield candidate


def _is_label(candidate: Found, labels: frozenset[str], reading: Reading) -> bool:
    """Whether the candidate only names fields: "Order number", "USD"."""
    return isinstance(candidate.value, str) and reading.terms_of(candidate.value) <= labels


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
            return lambda reading: read_rows(reading, whole=schema["items"]["type"] == "integer")
        case ("string", "date" | "date-time" as form):
            return lambda reading: read_dates(reading.text, with_time=form == "date-time")
        case ("string", "time"):
            return lambda reading: read_times(reading.text)
        case ("string", "email" | "uri" as form):
            mark = {"email": "@", "uri": "://"}[form]
            return lambda reading: (span for span in read_codes(reading.text) if mark in span.value)
        case ("string", _) if "enum" in schema:
            return lambda reading: read_choices(schema["enum"], reading)
        case ("string", _) if _is_free(field):
            return read_sentences
        case ("string", _):
            return lambda reading: reading.phrases
        case _:
            return lambda _: ()


def _is_free(field: Field) -> bool:
    return field.schema.get("maxLength", 0) >= FREE_TEXT or _FREE.search(field.words) is not None


def _within(schema: Mapping[str, Any]) -> Callable[[Any], bool]:
    from jsonschema import Draft202012Validator

    limits = {key: schema[key] for key in _LIMITS if key in schema}
    validator = Draft202012Validator(limits)
    return lambda value: bool(validator.is_valid(value))


# -- which candidate is whose ----------------------------------------------------------------------------------------


def _scores(
    fields: Sequence[tuple[Field, Sequence[Found]]],
    spans: Sequence[tuple[int, int]],
    reading: Reading,
    embedder: Embeddings,
) -> Any:
    """Return the score of each span for each field, as an array (fields, spans); -9 where the span is no candidate of the field."""
    windows = [_window(reading.text, *span) for span in spans]
    vectors = _embed_batches([*(field.words for field, _ in fields), *windows], embedder)
    meaning = np.clip(vectors[: len(fields)] @ vectors[len(fields) :].T, 0, 1)
    scores = np.full((len(fields), len(spans)), -9.0)
    columns = {span: column for column, span in enumerate(spans)}
    around = [_Around(reading, *span) for span in spans]
    for row, (field, candidates) in enumerate(fields):
        near = _Nearness(field, reading)
        for column in {columns[candidate.span] for candidate in candidates}:
            check()
            capital = _CAPITALS * bool(near.is_name and around[column].is_named)
            order = 1 - abs(row / max(1, len(fields) - 1) - column / max(1, len(spans) - 1))
            scores[row, column] = meaning[row, column] + _NEAR * near.of(around[column]) + _ORDER * order + capital
    return scores


def _embed_batches(texts: Sequence[str], embedder: Embeddings) -> Any:
    batches = []
    for start in range(0, len(texts), BATCH):
        check()
        batches.append(embed(embedder, texts[start : start + BATCH]))
    return np.concatenate(batches)


class _Around:
    """A span of text among the words of its sentence, by their indices."""

    def __init__(self, reading: Reading, start: int, end: int) -> None:
        check()
        begin, close = reading.sentence_at(start)
        self.text, words = reading.text[start:end], reading.words
        begins_sentence = " " not in self.text and begin == start
        self.is_named = self.text[0].isupper() and not any(map(str.isdigit, self.text)) and not begins_sentence
        self.before = bisect_left(words, (start, 0))
        self.after = bisect_left(words, end, key=lambda word: word[1] - 1)
        self.first, self.last = bisect_left(words, (begin, 0)), bisect_left(words, (close, 0))

    def distance(self, places: Sequence[int]) -> float:
        """Return the number of words to the nearest of these places in the sentence; infinity where there is none."""
        left, right = bisect_left(places, self.before) - 1, bisect_left(places, self.after)
        to_left = self.before - places[left] if left >= 0 and places[left] >= self.first else np.inf
        to_right = places[right] - self.after + 1 if right < len(places) and places[right] < self.last else np.inf
        return float(min(to_left, to_right))


class _Nearness:
    """The nearness of a field's words to a span, where those of its name count more than those of its description."""

    def __init__(self, field: Field, reading: Reading) -> None:
        self._reading = reading
        self._is_free = _is_free(field)
        self.is_name = _NAMED.search(field.words) is not None
        self._name, described = terms(field.name.replace("_", " ")), terms(field.schema.get("description", ""))
        self._weighted = [(1.0, _places(self._name, reading)), (0.7, _places(described, reading))]

    def of(self, around: _Around) -> float:
        """Return the nearness of the field's words to a span, from 0 to 1."""
        if self._is_free:
            return 1.0 if self._name & self._reading.terms_of(around.text) else 0.0
        return max(weight / (0.7 + 0.3 * around.distance(places)) for weight, places in self._weighted)


def _places(wanted: Iterable[str], reading: Reading) -> list[int]:
    return sorted({place for term in wanted for place in reading.places_of_terms.get(term, ())})


def _window(text: str, start: int, end: int) -> str:
    before = text[max(0, start - WINDOW_CHARACTERS) : start].split()[-WINDOW:]
    after = text[end : end + WINDOW_CHARACTERS].split()[:WINDOW]
    return " ".join([*before, text[start:end][:WINDOW_CHARACTERS], *after])

"""Values for the fields of an object, read from a text: numbers, dates, choices, patterns, names. No model writes them.

Every kind of field has its candidates in the text. Which candidate belongs to which field is one assignment over all of
them: near the words by which the schema names and describes the field, in a place that means the same, and in the order
in which the fields stand. No two fields get the same stretch of text. What is not there is not filled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from models.contract import Embeddings
from models.embedding import embed
from orchestration.stated import by_pattern, has_word
from retrieval.sentences import sentence_spans
from retrieval.wording import denies, terms

FREE_TEXT = 100
"""A string that may be this long, or is described as free text, is a sentence of the text; a shorter one is a phrase."""
WINDOW = 6
"""Words on each side of a candidate that tell what it is."""
ENOUGH = 0.6
"""The least that an optional field must match; a required one takes what there is."""
_NEAR, _ORDER, _CAPITALS = 0.6, 0.1, 0.3

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()  # noqa: SIM905 - a word list reads as text
_MONTH = r"(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]*\.?"
_DATE = re.compile(
    rf"\b(?:\d{{4}}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?|\d{{1,2}}(?:st|nd|rd|th)?\.? (?:of )?{_MONTH},? \d{{4}}|"
    rf"{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}})\b",
    re.IGNORECASE,
)
_TIME = re.compile(r"\b(?:[01]?\d|2[0-3]):[0-5]\d\b|\b(?:1[0-2]|0?[1-9]) ?[ap]\.?m\b", re.IGNORECASE)
_NUMBER = re.compile(
    r"(?<![\w.-])(-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)(?: (thousand|million|billion)\b|(?=$|[^\w-]|[^\W\d_]{1,3}\b))",
    re.IGNORECASE,
)
_TIMES = {"thousand": 1e3, "million": 1e6, "billion": 1e9}
_NUMERALS = "one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905 - as above
_SPELLED = {word: float(value) for value, word in enumerate(_NUMERALS, 1)}
_QUOTED = re.compile(r"[\"“]([^\"”]{1,200})[\"”]|(?<!\w)'([^']{1,200})'(?!\w)")
_CODE = re.compile(
    r"\b[\w.+-]{1,64}@[\w-]+\.[\w.-]*\w|https?://[^\s<>\"]*[^\s<>\".,;]|\b[A-Z]{1,6}-?\d[\w-]*|\+\d[\d ()-]{6,}\d"
)
_NAME = re.compile(r"\b[A-Z][\w’'-]*(?: (?:(?:of|the|de|van|von|and|&) )?(?:[A-Z0-9][\w’'-]*))*")
_PHRASE = re.compile(r"(?<!\w)[a-z][\w’-]+(?: [a-z][\w’-]+){0,3}")
_FREE = re.compile(
    r"\b(?:text|message|summary|note|reason|problem|comment|description|details|what happened|wish)\b", re.IGNORECASE
)
_NAMED = re.compile(
    r"\b(?:name|who|person|customer|company|city|town|country|place|street|brand|author)\b", re.IGNORECASE
)
_WORD = re.compile(r"[\w’'-]+")

_LIMITS = (
    "type",
    "enum",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
)

Finder = Callable[[str], Iterator["Found"]]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the object, as far as its schema tells."""

    name: str
    schema: Mapping[str, Any]
    required: bool
    words: str
    """Its name and description: what it is called in a text."""


@dataclass(frozen=True, slots=True)
class Found:
    """A value and where it stands."""

    value: Any
    start: int
    end: int


def fields_of(schema: Mapping[str, Any]) -> list[Field]:
    """The top level of an object's JSON schema; references are followed, and `null` is left out of a choice of types."""
    required = schema.get("required", ())
    fields = []
    for name, told in schema.get("properties", {}).items():
        merged = _merged(told, schema)
        words = f"{name.replace('_', ' ')}: {merged.get('description', '')}"
        fields.append(Field(name, merged, name in required, words))
    return fields


def filled(fields: Sequence[Field], text: str, embedder: Embeddings) -> dict[str, Any]:
    """What the text says of the fields. An optional one without a match is left out; so is a required one without a
    candidate.

    Raises:
        ComponentError: the embedder failed.
    """
    from scipy.optimize import linear_sum_assignment

    read = {field.name: _stated(field, text) for field in fields}
    values = {name: value for name, value in read.items() if value is not None}
    labels = frozenset().union(*(terms(field.words) for field in fields))
    known = [match.span() for value in values.values() for match in re.finditer(re.escape(str(value)), text)]
    open_ = []
    for field in fields:
        found = [one for one in _candidates(field, text) if not _is_label(one, labels) and not _overlaps(one, known)]
        if found and field.name not in values:
            open_.append((field, found))
    if not open_:
        return values
    spans = sorted({(one.start, one.end) for _, found in open_ for one in found})
    scores = _scores(open_, spans, text, embedder)
    for row, column in zip(*linear_sum_assignment(-scores), strict=True):
        field, found = open_[row]
        value = next((one.value for one in found if (one.start, one.end) == spans[column]), None)
        if value is not None and (field.required or scores[row, column] >= ENOUGH):
            values[field.name] = value
    return values


# -- what a field may be ---------------------------------------------------------------------------------------------


def _merged(told: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in told:
        told = {**schema.get("$defs", {}).get(told["$ref"].rpartition("/")[2], {}), **told}
    branch: Mapping[str, Any] = next((one for one in told.get("anyOf", ()) if one.get("type") != "null"), {})
    return {**(_merged(branch, schema) if branch else {}), **{key: told[key] for key in told if key != "anyOf"}}


def _stated(field: Field, text: str) -> Any:
    """A value that needs no comparison: a constant, a pattern, a choice that is named, a yes or no."""
    schema = field.schema
    if "const" in schema:
        return schema["const"]
    if "pattern" in schema:
        return by_pattern(text, schema["pattern"])
    if schema.get("type") == "array" and "enum" in schema.get("items", {}):
        return [one for one in schema["items"]["enum"] if has_word(text, str(one).replace("_", " "))] or None
    if "enum" in schema:
        named = [one for one in schema["enum"] if has_word(text, str(one).replace("_", " "))]
        return named[0] if len(named) == 1 else None
    if schema.get("type") == "boolean":
        return _said(field, text)
    return None


def _said(field: Field, text: str) -> bool | None:
    """Whether the text says so: in the sentence that shares most words with the field, unless it denies it. An optional
    field must be called by its whole name."""
    name, wanted = terms(field.name.replace("_", " ")), terms(field.words)
    sentences = [text[start:end] for start, end in sentence_spans(text)]
    best = max(sentences, key=lambda one: len(wanted & terms(one)), default="")
    if field.required:
        return bool(wanted & terms(best)) and not denies(best)
    return not denies(best) if name and name <= terms(best) else None


def _candidates(field: Field, text: str) -> Iterator[Found]:
    schema = field.schema
    fits = _within(schema)
    for found in _finder(field)(text):
        if fits(found.value):
            yield found


def _is_label(found: Found, labels: frozenset[str]) -> bool:
    """Whether it only says what the fields are called: "Order number", "USD"."""
    return isinstance(found.value, str) and terms(found.value) <= labels


def _overlaps(found: Found, spans: Sequence[tuple[int, int]]) -> bool:
    return any(found.start < end and start < found.end for start, end in spans)


def _finder(field: Field) -> Finder:  # noqa: PLR0911 - one line a kind of field reads best
    schema = field.schema
    match schema.get("type"), schema.get("format"):
        case ("integer", _):
            return lambda text: (
                Found(int(one.value), one.start, one.end) for one in _numbers(text) if one.value == int(one.value)
            )
        case ("number", _):
            return _numbers
        case ("array", _) if schema.get("items", {}).get("type") in ("integer", "number"):
            return lambda text: _rows(text, whole=schema["items"]["type"] == "integer")
        case ("string", "date" | "date-time" as form):
            return lambda text: _dates(text, with_time=form == "date-time")
        case ("string", "time"):
            return _times
        case ("string", "email" | "uri" as form):
            return lambda text: (one for one in _codes(text) if {"email": "@", "uri": "://"}[form] in one.value)
        case ("string", _) if "enum" in schema:
            return lambda text: _choices(schema["enum"], text)
        case ("string", _) if _is_free(field):
            return _sentences
        case ("string", _):
            return _phrases
        case _:
            return lambda _: iter(())


def _is_free(field: Field) -> bool:
    return field.schema.get("maxLength", 0) >= FREE_TEXT or _FREE.search(field.words) is not None


def _within(schema: Mapping[str, Any]) -> Callable[[Any], bool]:
    """Whether a value keeps the limits of its schema."""
    from jsonschema import Draft202012Validator

    limits = {key: schema[key] for key in _LIMITS if key in schema}
    validator = Draft202012Validator(limits)
    return lambda value: bool(validator.is_valid(value))


def _numbers(text: str) -> Iterator[Found]:
    taken = [match.span() for pattern in (_DATE, _TIME, _CODE) for match in pattern.finditer(text)]
    for match in _NUMBER.finditer(text):
        if not any(start <= match.start() < end for start, end in taken):
            times = _TIMES.get((match[2] or "").lower(), 1)
            yield Found(float(match[1].replace(",", "")) * times, *match.span())
    for match in re.finditer(rf"\b(?:{'|'.join(_SPELLED)})\b", text, re.IGNORECASE):
        yield Found(_SPELLED[match.group().lower()], *match.span())


def _rows(text: str, *, whole: bool) -> Iterator[Found]:
    """All the numbers of a sentence, as a list."""
    for start, end in sentence_spans(text):
        found = [one for one in _numbers(text) if start <= one.start < end]
        if found:
            yield Found([int(one.value) if whole else one.value for one in found], start, end)


def _dates(text: str, *, with_time: bool) -> Iterator[Found]:
    for match in _DATE.finditer(text):
        read = _date_of(match.group())
        if read is not None:
            yield Found(read.isoformat() if with_time else read.date().isoformat(), *match.span())


def _date_of(text: str) -> datetime | None:
    try:
        if re.match(r"\d{4}-", text):
            return datetime.fromisoformat(text)
        day, year = re.findall(r"\d+", text)
        month = next(
            place
            for place, name in enumerate(_MONTHS, 1)
            if name in re.sub("[^a-z]", "", text.lower().replace("of", ""))
        )
        return datetime(int(year), month, int(day))  # noqa: DTZ001 - a text names no time zone
    except (ValueError, StopIteration):
        return None


def _times(text: str) -> Iterator[Found]:
    for match in _TIME.finditer(text):
        hour, minute = [*map(int, re.findall(r"\d+", match.group())), 0][:2]
        late = "p" in match.group().lower()
        hour = hour % 12 + 12 * late if re.search("[ap]", match.group(), re.IGNORECASE) else hour
        yield Found(f"{hour:02}:{minute:02}:00", *match.span())


def _choices(choices: Sequence[Any], text: str) -> Iterator[Found]:
    """Every sentence may mean every choice: which one it is tells the comparison."""
    for start, end in sentence_spans(text):
        named = [one for one in choices if terms(str(one).replace("_", " ")) & terms(text[start:end])]
        if len(named) == 1:
            yield Found(named[0], start, end)


def _phrases(text: str) -> Iterator[Found]:
    for match in _QUOTED.finditer(text):
        yield Found(match[match.lastindex or 0], *match.span(match.lastindex or 0))
    yield from _codes(text)
    for match in _NAME.finditer(text):
        yield from _without_function_words(match.group(), match.start())
        for joint in re.finditer(r" (?:of|and|the) ", match.group()):
            yield from _without_function_words(match.group()[: joint.start()], match.start())
            yield from _without_function_words(match.group()[joint.end() :], match.start() + joint.end())
    for match in _PHRASE.finditer(text):
        words = match.group().split()
        for start in range(len(words)):
            if terms(words[start]):
                first = match.start() + len(" ".join(words[:start])) + bool(start)
                stop = next((at for at in range(start, len(words)) if not terms(words[at])), len(words))
                phrase = " ".join(words[start:stop])
                yield Found(phrase, first, first + len(phrase))
                break


def _codes(text: str) -> Iterator[Found]:
    for match in _CODE.finditer(text):
        yield Found(match.group(), *match.span())


def _without_function_words(text: str, at: int) -> Iterator[Found]:
    """The name without the first words of its sentence that name nothing."""
    words = list(_WORD.finditer(text))
    named = [word for word in words if terms(word.group())]
    if named:
        start, end = named[0].start(), named[-1].end()
        yield Found(text[start:end], at + start, at + end)


def _sentences(text: str) -> Iterator[Found]:
    """Each whole, and without the label before its colon."""
    for start, end in sentence_spans(text):
        yield Found(text[start:end], start, end)
        if label := re.match(r"[^:]{1,40}: (?=\w)", text[start:end]):
            yield Found(text[start + label.end() : end], start + label.end(), end)


# -- which candidate is whose ----------------------------------------------------------------------------------------


def _scores(
    fields: Sequence[tuple[Field, Sequence[Found]]], spans: Sequence[tuple[int, int]], text: str, embedder: Embeddings
) -> Any:
    """Field by span: how well they go together; far below everything where the span is no candidate of the field."""
    windows = [_window(text, *span) for span in spans]
    vectors = embed(embedder, [*(field.words for field, _ in fields), *windows])
    meaning = np.clip(vectors[: len(fields)] @ vectors[len(fields) :].T, 0, 1)
    scores = np.full((len(fields), len(spans)), -9.0)
    for row, (field, found) in enumerate(fields):
        places = {(one.start, one.end) for one in found}
        rank = row / max(1, len(fields) - 1)
        for column, span in enumerate(spans):
            if span not in places:
                continue
            order = 1 - abs(rank - column / max(1, len(spans) - 1))
            digits = any(letter.isdigit() for letter in text[slice(*span)])
            named = text[span[0]].isupper() and not digits and not _opens(text, *span)
            capital = _CAPITALS * bool(_NAMED.search(field.words)) * named
            scores[row, column] = (
                meaning[row, column] + _NEAR * _nearness(field, text, *span) + _ORDER * order + capital
            )
    return scores


def _opens(text: str, start: int, end: int) -> bool:
    """Whether it is a single word that begins its sentence, where every word has a capital."""
    return " " not in text[start:end] and any(a == start for a, _ in sentence_spans(text))


def _nearness(field: Field, text: str, start: int, end: int) -> float:
    """From 0 to 1: how near in its sentence the field's words stand, those of its name above those of its description."""
    a, b = next(((a, b) for a, b in sentence_spans(text) if a <= start < b), (0, len(text)))
    before = [terms(word) for word in _WORD.findall(text[a:start])]
    after = [terms(word) for word in _WORD.findall(text[end:b])]
    name, described = terms(field.name.replace("_", " ")), terms(field.schema.get("description", ""))
    if _is_free(field):
        return 1.0 if name & terms(text[start:end]) else 0.0
    best = 0.0
    for words in (reversed(before), iter(after)):
        for distance, word in enumerate(words, 1):
            weight = 1.0 if word & name else 0.7 if word & described else 0.0
            best = max(best, weight / (0.7 + 0.3 * distance))
    return best


def _window(text: str, start: int, end: int) -> str:
    before, after = text[:start].split()[-WINDOW:], text[end:].split()[:WINDOW]
    return " ".join([*before, text[start:end], *after])

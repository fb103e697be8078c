"""Values for the fields of an object, read from a text: numbers, dates, choices, patterns, names. No model writes them.

Every kind of field has its candidates in the text. Which candidate belongs to which field is one assignment over all of
them: near the words by which the schema names and describes the field, in a place that means the same, and in the order
they stand. No two fields get the same stretch of text. What is not there is not filled.

Text and schema come from strangers: every step takes time by their lengths, and every loop asks whether it may go on.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np

from foundation.machine.deadline import check
from foundation.text.lexical import denies, terms
from foundation.text.sentences import sentence_spans
from models.contract import Embeddings
from models.embedding import embed
from orchestration.language.stated_arguments import by_pattern, has_word

FREE_TEXT = 100
"""A string that may be this long, or is described as free text, is a sentence of the text; a shorter one is a phrase."""
WINDOW = 6
"""Words on each side of a candidate that tell what it is."""
LONGEST_NAME = 200
"""Characters. A longer run of capitalised words is no name."""
WINDOW_CHARACTERS = 400
"""Most characters that are looked at for those words: text without spaces is one word, however long it is."""
BATCH = 64
"""Texts that are embedded between two looks at the time."""
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

Finder = Callable[["Reading"], Iterable["Found"]]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the object, as far as its schema tells."""

    name: str
    schema: Mapping[str, Any]
    required: bool
    words: str
    """The field's name and description: what it is called in a text."""


@dataclass(frozen=True, slots=True)
class Found:
    """A value and where it stands."""

    value: Any
    start: int
    end: int


class Reading:
    """A text, and what is read of it once for all the fields."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._terms: dict[str, frozenset[str]] = {}

    def terms_of(self, part: str) -> frozenset[str]:
        """The terms of a part of the text; the same part is taken apart once."""
        if part not in self._terms:
            check()
            self._terms[part] = terms(part)
        return self._terms[part]

    @cached_property
    def sentences(self) -> list[tuple[int, int]]:
        return sentence_spans(self.text)

    @cached_property
    def words(self) -> list[tuple[int, int]]:
        return [match.span() for match in _WORD.finditer(self.text)]

    @cached_property
    def places_of_terms(self) -> dict[str, list[int]]:
        """Term -> which of the words have it."""
        places: dict[str, list[int]] = {}
        for place, (start, end) in enumerate(self.words):
            for term in self.terms_of(self.text[start:end]):
                places.setdefault(term, []).append(place)
        return places

    @cached_property
    def numbers(self) -> list[Found]:
        return list(_numbers(self.text))

    @cached_property
    def phrases(self) -> list[Found]:
        return list(_phrases(self))

    def sentence_at(self, place: int) -> tuple[int, int]:
        """The sentence in which that place of the text is; the whole text where it is in none."""
        at = bisect_right(self.sentences, (place, len(self.text))) - 1
        if at >= 0 and place < self.sentences[at][1]:
            return self.sentences[at]
        return 0, len(self.text)


def fields_of(schema: Mapping[str, Any]) -> list[Field]:
    """The top level of an object's JSON schema; references are followed, and `null` is left out of a choice of types."""
    required = schema.get("required", ())
    fields = []
    for name, definition in schema.get("properties", {}).items():
        merged = _merge_schema(definition, schema)
        words = f"{name.replace('_', ' ')}: {merged.get('description', '')}"
        fields.append(Field(name, merged, name in required, words))
    return fields


def fill_fields(fields: Sequence[Field], text: str, embedder: Embeddings) -> dict[str, Any]:
    """What the text says of the fields. An optional one without a match is left out; so is a required one without a
    candidate.

    Raises:
        ComponentError: the embedder failed.
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
    spans = sorted({(candidate.start, candidate.end) for _, candidates in open_ for candidate in candidates})
    scores = _scores(open_, spans, reading, embedder)
    for row, column in zip(*linear_sum_assignment(-scores), strict=True):
        field, candidates = open_[row]
        value = next(
            (candidate.value for candidate in candidates if (candidate.start, candidate.end) == spans[column]), None
        )
        if value is not None and (field.required or scores[row, column] >= ENOUGH):
            values[field.name] = value
    return values


# -- what a field may be ---------------------------------------------------------------------------------------------


def _merge_schema(definition: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in definition:
        definition = {**schema.get("$defs", {}).get(definition["$ref"].rpartition("/")[2], {}), **definition}
    branch: Mapping[str, Any] = next(
        (option for option in definition.get("anyOf", ()) if option.get("type") != "null"), {}
    )
    return {
        **(_merge_schema(branch, schema) if branch else {}),
        **{key: definition[key] for key in definition if key != "anyOf"},
    }


def _read_stated(field: Field, reading: Reading) -> Any:
    """A value that needs no comparison: a constant, a pattern, a choice that is named, a yes or no."""
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
    """The choices that the text names."""
    named = []
    for choice in choices:
        check()
        if has_word(text, str(choice).replace("_", " ")):
            named.append(choice)
    return named


def _read_yes_or_no(field: Field, reading: Reading) -> bool | None:
    """Whether the text says so: in the sentence that shares most words with the field, unless it denies it. An optional
    field must be called by its whole name."""
    name, wanted = terms(field.name.replace("_", " ")), terms(field.words)
    sentences = [reading.text[start:end] for start, end in reading.sentences]
    best = max(sentences, key=lambda sentence: len(wanted & reading.terms_of(sentence)), default="")
    if field.required:
        return bool(wanted & reading.terms_of(best)) and not denies(best)
    return not denies(best) if name and name <= reading.terms_of(best) else None


def _places_of(values: Iterable[Any], text: str) -> bytearray:
    """Mark each character of the text that belongs to one of these values."""
    used = bytearray(len(text))
    for value in values:
        check()
        for match in re.finditer(re.escape(str(value)), text):
            _mark(used, *match.span())
    return used


def _mark(places: bytearray, start: int, end: int) -> None:
    places[start:end] = b"\1" * (end - start)


def _candidates(field: Field, reading: Reading) -> Iterator[Found]:
    schema = field.schema
    fits = _within(schema)
    for candidate in _finder(field)(reading):
        check()
        if fits(candidate.value):
            yield candidate


def _is_label(candidate: Found, labels: frozenset[str], reading: Reading) -> bool:
    """Whether it only says what the fields are called: "Order number", "USD"."""
    return isinstance(candidate.value, str) and reading.terms_of(candidate.value) <= labels


def _finder(field: Field) -> Finder:  # noqa: PLR0911 - one line a kind of field reads best
    schema = field.schema
    match schema.get("type"), schema.get("format"):
        case ("integer", _):
            return lambda reading: (
                Found(int(span.value), span.start, span.end)
                for span in reading.numbers
                if span.value == int(span.value)
            )
        case ("number", _):
            return lambda reading: reading.numbers
        case ("array", _) if schema.get("items", {}).get("type") in ("integer", "number"):
            return lambda reading: _rows(reading, whole=schema["items"]["type"] == "integer")
        case ("string", "date" | "date-time" as form):
            return lambda reading: _dates(reading.text, with_time=form == "date-time")
        case ("string", "time"):
            return lambda reading: _times(reading.text)
        case ("string", "email" | "uri" as form):
            mark = {"email": "@", "uri": "://"}[form]
            return lambda reading: (span for span in _codes(reading.text) if mark in span.value)
        case ("string", _) if "enum" in schema:
            return lambda reading: _choices(schema["enum"], reading)
        case ("string", _) if _is_free(field):
            return _sentences
        case ("string", _):
            return lambda reading: reading.phrases
        case _:
            return lambda _: ()


def _is_free(field: Field) -> bool:
    return field.schema.get("maxLength", 0) >= FREE_TEXT or _FREE.search(field.words) is not None


def _within(schema: Mapping[str, Any]) -> Callable[[Any], bool]:
    """Whether a value keeps the limits of its schema."""
    from jsonschema import Draft202012Validator

    limits = {key: schema[key] for key in _LIMITS if key in schema}
    validator = Draft202012Validator(limits)
    return lambda value: bool(validator.is_valid(value))


def _numbers(text: str) -> Iterator[Found]:
    used = bytearray(len(text))
    for pattern in (_DATE, _TIME, _CODE):
        for match in pattern.finditer(text):
            _mark(used, *match.span())
    for match in _NUMBER.finditer(text):
        if not used[match.start()]:
            times = _TIMES.get((match[2] or "").lower(), 1)
            yield Found(float(match[1].replace(",", "")) * times, *match.span())
    for match in re.finditer(rf"\b(?:{'|'.join(_SPELLED)})\b", text, re.IGNORECASE):
        yield Found(_SPELLED[match.group().lower()], *match.span())


def _rows(reading: Reading, *, whole: bool) -> Iterator[Found]:
    """All the numbers of a sentence, as a list."""
    by_sentence: dict[tuple[int, int], list[float]] = {}
    for number in reading.numbers:
        by_sentence.setdefault(reading.sentence_at(number.start), []).append(number.value)
    for (start, end), values in sorted(by_sentence.items()):
        yield Found([int(value) if whole else value for value in values], start, end)


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


def _choices(choices: Sequence[Any], reading: Reading) -> Iterator[Found]:
    """Every sentence may mean every choice: which one it is tells the comparison."""
    by_term: dict[str, set[int]] = {}
    for place, choice in enumerate(choices):
        for term in terms(str(choice).replace("_", " ")):
            by_term.setdefault(term, set()).add(place)
    for start, end in reading.sentences:
        check()
        named = {place for term in reading.terms_of(reading.text[start:end]) for place in by_term.get(term, ())}
        if len(named) == 1:
            yield Found(choices[named.pop()], start, end)


def _phrases(reading: Reading) -> Iterator[Found]:
    text = reading.text
    for match in _QUOTED.finditer(text):
        yield Found(match[match.lastindex or 0], *match.span(match.lastindex or 0))
    yield from _codes(text)
    for match in _NAME.finditer(text):
        yield from _names_in(reading, *match.span())
    for match in _PHRASE.finditer(text):
        words = match.group().split()
        for start in range(len(words)):
            if reading.terms_of(words[start]):
                first = match.start() + len(" ".join(words[:start])) + bool(start)
                stop = next((at for at in range(start, len(words)) if not reading.terms_of(words[at])), len(words))
                phrase = " ".join(words[start:stop])
                yield Found(phrase, first, first + len(phrase))
                break


def _codes(text: str) -> Iterator[Found]:
    for match in _CODE.finditer(text):
        yield Found(match.group(), *match.span())


def _names_in(reading: Reading, start: int, end: int) -> Iterator[Found]:
    """A run of capitalised words, and what stands before and after each "of", "and" or "the" in it; all without words at
    their ends that name nothing."""
    words = [(start + word.start(), start + word.end()) for word in _WORD.finditer(reading.text[start:end])]
    telling = [(a, b) for a, b in words if reading.terms_of(reading.text[a:b])]
    starts, ends = [a for a, _ in telling], [b for _, b in telling]
    joints = [(start + j.start(), start + j.end()) for j in re.finditer(r" (?:of|and|the) ", reading.text[start:end])]
    parts = [(start, end)] + [part for a, b in joints for part in ((start, a), (b, end))]
    for a, b in parts:
        first, last = bisect_left(starts, a), bisect_right(ends, b) - 1
        if first <= last and ends[last] - starts[first] <= LONGEST_NAME:
            yield Found(reading.text[starts[first] : ends[last]], starts[first], ends[last])


def _sentences(reading: Reading) -> Iterator[Found]:
    """Each whole, and without the label before its colon."""
    text = reading.text
    for start, end in reading.sentences:
        yield Found(text[start:end], start, end)
        if label := re.match(r"[^:]{1,40}: (?=\w)", text[start:end]):
            yield Found(text[start + label.end() : end], start + label.end(), end)


# -- which candidate is whose ----------------------------------------------------------------------------------------


def _scores(
    fields: Sequence[tuple[Field, Sequence[Found]]],
    spans: Sequence[tuple[int, int]],
    reading: Reading,
    embedder: Embeddings,
) -> Any:
    """Field by span: how well they go together; far below everything where the span is no candidate of the field."""
    windows = [_window(reading.text, *span) for span in spans]
    vectors = _embed_batches([*(field.words for field, _ in fields), *windows], embedder)
    meaning = np.clip(vectors[: len(fields)] @ vectors[len(fields) :].T, 0, 1)
    scores = np.full((len(fields), len(spans)), -9.0)
    columns = {span: column for column, span in enumerate(spans)}
    around = [_Around(reading, *span) for span in spans]
    for row, (field, candidates) in enumerate(fields):
        rank = row / max(1, len(fields) - 1)
        near = _Nearness(field, reading)
        for column in {columns[candidate.start, candidate.end] for candidate in candidates}:
            check()
            order = 1 - abs(rank - column / max(1, len(spans) - 1))
            capital = _CAPITALS * bool(near.is_name and around[column].is_named)
            scores[row, column] = meaning[row, column] + _NEAR * near.of(around[column]) + _ORDER * order + capital
    return scores


def _embed_batches(texts: Sequence[str], embedder: Embeddings) -> Any:
    batches = []
    for start in range(0, len(texts), BATCH):
        check()
        batches.append(embed(embedder, texts[start : start + BATCH]))
    return np.concatenate(batches)


class _Around:
    """A stretch of text among the words of its sentence."""

    def __init__(self, reading: Reading, start: int, end: int) -> None:
        check()
        text = reading.text
        begin, close = reading.sentence_at(start)
        self.text = text[start:end]
        self.is_named = text[start].isupper() and not any(map(str.isdigit, self.text))
        self.is_named = self.is_named and not (" " not in self.text and begin == start)
        words = reading.words
        self.before = bisect_left(words, (start, 0))
        """How many words begin before it."""
        self.after = bisect_left(words, end, key=lambda word: word[1] - 1)
        """The first word that goes on after it."""
        self.first = bisect_left(words, (begin, 0))
        self.last = bisect_left(words, (close, 0))
        """Words of the sentence: from the first to before the last."""
        cut = self.before > 0 and words[self.before - 1][1] > start
        self.cut_before = reading.terms_of(text[words[self.before - 1][0] : start]) if cut else None
        """The terms of what stands directly before it, where that is only the beginning of a word."""
        cut = self.after < len(words) and words[self.after][0] < end
        self.cut_after = reading.terms_of(text[end : words[self.after][1]]) if cut else None


class _Nearness:
    """How near a field's words stand to a stretch of text, those of its name above those of its description."""

    def __init__(self, field: Field, reading: Reading) -> None:
        self._reading = reading
        self._is_free = _is_free(field)
        self.is_name = _NAMED.search(field.words) is not None
        name, described = terms(field.name.replace("_", " ")), terms(field.schema.get("description", ""))
        self._weighted = [
            (1.0, name, _places(name, reading)),
            (0.7, described, _places(described, reading)),
        ]

    def of(self, around: _Around) -> float:
        """How near the field's words stand to a stretch of text, from 0 to 1."""
        if self._is_free:
            return 1.0 if self._weighted[0][1] & self._reading.terms_of(around.text) else 0.0
        return max(
            weight / (0.7 + 0.3 * distance)
            for weight, wanted, places in self._weighted
            for distance in _distances(around, wanted, places)
        )


def _places(wanted: Iterable[str], reading: Reading) -> list[int]:
    return sorted({place for term in wanted for place in reading.places_of_terms.get(term, ())})


def _distances(around: _Around, wanted: frozenset[str], places: Sequence[int]) -> Iterator[float]:
    """The distances in words to the nearest wanted word of the sentence on each side; infinite where there is none."""
    yield np.inf
    if around.cut_before is not None and around.cut_before & wanted:
        yield 1
    at = bisect_left(places, around.before - (around.cut_before is not None)) - 1
    if at >= 0 and places[at] >= around.first:
        yield around.before - places[at]
    if around.cut_after is not None and around.cut_after & wanted:
        yield 1
    at = bisect_left(places, around.after + (around.cut_after is not None))
    if at < len(places) and places[at] < around.last:
        yield places[at] - around.after + 1


def _window(text: str, start: int, end: int) -> str:
    before = text[max(0, start - WINDOW_CHARACTERS) : start].split()[-WINDOW:]
    after = text[end : end + WINDOW_CHARACTERS].split()[:WINDOW]
    return " ".join([*before, text[start:end][:WINDOW_CHARACTERS], *after])

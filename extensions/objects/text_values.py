"""Candidate values in a text with their spans: numbers, dates, times, codes, names, phrases, sentences."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import dropwhile, takewhile
from typing import Any

from foundation.machine.deadline import check
from foundation.text.lexical import terms
from foundation.text.sentences import sentence_spans

# Maximum length of a name; a longer run of capitalised words is not a name
LONGEST_NAME = 200

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()  # noqa: SIM905 - a word list reads as text
_MONTH = rf"(?:{'|'.join(_MONTHS)})[a-z]*\.?"
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
_NUMERALS = "one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905 - a word list reads as text
_SPELLED = {word: float(value) for value, word in enumerate(_NUMERALS, 1)}
_QUOTED = re.compile(r"[\"“]([^\"”]{1,200})[\"”]|(?<!\w)'([^']{1,200})'(?!\w)")
_CODE = re.compile(
    r"\b[\w.+-]{1,64}@[\w-]+\.[\w.-]*\w|https?://[^\s<>\"]*[^\s<>\".,;]|\b[A-Z]{1,6}-?\d[\w-]*|\+\d[\d ()-]{6,}\d"
)
_NAME = re.compile(r"\b[A-Z][\w’'-]*(?: (?:(?:of|the|de|van|von|and|&) )?(?:[A-Z0-9][\w’'-]*))*")
_PHRASE = re.compile(r"(?<!\w)[a-z][\w’-]+(?: [a-z][\w’-]+){0,3}")
_WORD = re.compile(r"[\w’'-]+")


@dataclass(frozen=True, slots=True)
class Found:
    """A value and its span in the text."""

    value: Any
    start: int
    end: int

    @property
    def span(self) -> tuple[int, int]:
        return self.start, self.end


class Reading:
    """A text, and what is computed of it once for all fields."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._terms: dict[str, frozenset[str]] = {}
        self._around: dict[tuple[int, int], tuple[int, int, int, int]] = {}

    def terms_of(self, part: str) -> frozenset[str]:
        """Return the terms of a part of the text, cached."""
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
        """Term -> indices of the words that have it."""
        places: dict[str, list[int]] = {}
        for place, (start, end) in enumerate(self.words):
            for term in self.terms_of(self.text[start:end]):
                places.setdefault(term, []).append(place)
        return places

    @cached_property
    def numbers(self) -> list[Found]:
        return list(read_numbers(self.text))

    @cached_property
    def phrases(self) -> list[Found]:
        return list(_read_phrases(self))

    def around(self, found: Found) -> tuple[int, int, int, int]:
        """Return the indices of the words at which a value's sentence and the value begin, and of those behind the two."""
        if found.span not in self._around:
            begin, close = self.sentence_at(found.start)
            after = bisect_left(self.words, found.end, key=lambda word: word[1] - 1)
            first, before, last = (bisect_left(self.words, (place, 0)) for place in (begin, found.start, close))
            self._around[found.span] = first, before, after, last
        return self._around[found.span]

    def sentence_at(self, place: int) -> tuple[int, int]:
        """Return the span of the sentence at `place`; that of the whole text where it is in none."""
        at = bisect_right(self.sentences, (place, len(self.text))) - 1
        if at >= 0 and place < self.sentences[at][1]:
            return self.sentences[at]
        return 0, len(self.text)


def mark(places: bytearray, start: int, end: int) -> None:
    places[start:end] = b"\1" * (end - start)


def read_numbers(text: str) -> Iterator[Found]:
    used = bytearray(len(text))
    for pattern in (_DATE, _TIME, _CODE):
        for match in pattern.finditer(text):
            mark(used, *match.span())
    for match in _NUMBER.finditer(text):
        if not used[match.start()]:
            times = _TIMES.get((match[2] or "").lower(), 1)
            yield Found(float(match[1].replace(",", "")) * times, *match.span())
    for match in re.finditer(rf"\b(?:{'|'.join(_SPELLED)})\b", text, re.IGNORECASE):
        yield Found(_SPELLED[match.group().lower()], *match.span())


def read_rows(reading: Reading, *, whole: bool) -> Iterator[Found]:
    """Yield the numbers of each sentence as a list."""
    by_sentence: dict[tuple[int, int], list[float]] = {}
    for number in reading.numbers:
        by_sentence.setdefault(reading.sentence_at(number.start), []).append(number.value)
    for (start, end), values in sorted(by_sentence.items()):
        yield Found([int(value) if whole else value for value in values], start, end)


def read_dates(text: str, *, with_time: bool) -> Iterator[Found]:
    for match in _DATE.finditer(text):
        if read := _date_of(match.group()):
            yield Found(read.isoformat() if with_time else read.date().isoformat(), *match.span())


def _date_of(text: str) -> datetime | None:
    try:
        if re.match(r"\d{4}-", text):
            return datetime.fromisoformat(text)
        day, year = re.findall(r"\d+", text)
        month = re.search("|".join(_MONTHS), text, re.IGNORECASE)
        number = _MONTHS.index(month[0].lower()) + 1 if month else 0
        return datetime(int(year), number, int(day))  # noqa: DTZ001 - a text names no time zone
    except ValueError:
        return None


def read_times(text: str) -> Iterator[Found]:
    for match in _TIME.finditer(text):
        hour, minute = [*map(int, re.findall(r"\d+", match.group())), 0][:2]
        late = "p" in match.group().lower()
        hour = hour % 12 + 12 * late if re.search("[ap]", match.group(), re.IGNORECASE) else hour
        yield Found(f"{hour:02}:{minute:02}:00", *match.span())


def _read_phrases(reading: Reading) -> Iterator[Found]:
    text = reading.text
    for match in _QUOTED.finditer(text):
        yield Found(match[match.lastindex or 0], *match.span(match.lastindex or 0))
    yield from read_codes(text)
    for match in _NAME.finditer(text):
        yield from _names_in(reading, *match.span())
    for match in _PHRASE.finditer(text):
        words = match.group().split()
        telling = dropwhile(lambda word: not reading.terms_of(word), words)
        if phrase := " ".join(takewhile(reading.terms_of, telling)):
            first = match.start() + f" {match.group()} ".index(f" {phrase} ")
            yield Found(phrase, first, first + len(phrase))


def read_codes(text: str) -> Iterator[Found]:
    for match in _CODE.finditer(text):
        yield Found(match.group(), *match.span())


def _names_in(reading: Reading, start: int, end: int) -> Iterator[Found]:
    """Yield a run of capitalised words, and its parts around each "of", "and" or "the", without function words at their ends."""
    words = [(start + word.start(), start + word.end()) for word in _WORD.finditer(reading.text[start:end])]
    telling = [(a, b) for a, b in words if reading.terms_of(reading.text[a:b])]
    starts, ends = [a for a, _ in telling], [b for _, b in telling]
    joints = [(start + j.start(), start + j.end()) for j in re.finditer(r" (?:of|and|the) ", reading.text[start:end])]
    parts = [(start, end)] + [part for a, b in joints for part in ((start, a), (b, end))]
    for a, b in parts:
        first, last = bisect_left(starts, a), bisect_right(ends, b) - 1
        if first <= last and ends[last] - starts[first] <= LONGEST_NAME:
            yield Found(reading.text[starts[first] : ends[last]], starts[first], ends[last])


def read_sentences(reading: Reading) -> Iterator[Found]:
    """Yield each sentence, whole and without a label before its colon."""
    text = reading.text
    for start, end in reading.sentences:
        yield Found(text[start:end], start, end)
        if label := re.match(r"[^:]{1,40}: (?=\w)", text[start:end]):
            yield Found(text[start + label.end() : end], start + label.end(), end)

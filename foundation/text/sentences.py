"""Sentences of a text with their spans; a line, such as a list item, is a border. False ends in other languages ("am 3.
Mai", "č. 5") are joined again: quoting two sentences as one is right, quoting half a sentence is not.
"""

import re
from collections.abc import Iterator

from foundation.machine.deadline import check

# Full stops of Chinese, Japanese, Arabic, Urdu, Hindi, Armenian, Amharic, Khmer and Burmese
FOREIGN_STOPS = "。！？｡؟۔।॥։።፧។៕။"  # noqa: RUF001 - full-width signs are meant
# A foreign full stop with closing marks, unless Japanese reported speech continues; the Greek question mark
_FOREIGN_STOP = re.compile(
    rf"(?:[{FOREIGN_STOPS}]|．(?!\d))[{FOREIGN_STOPS}．」』）】”’\"')\]]*+(?!(?<=[」』])と)"  # noqa: RUF001 - as above
    r"|(?<=[\u0370-\u03ff\u1f00-\u1fff]);(?=\s|$)"
)
_THAI_BORDER = re.compile(r"(?<=[\u0e00-\u0eff\d])\s+(?=[\u0e00-\u0eff])")
# Least characters of a Thai or Lao sentence, which ends with a space, as names and numbers do too
_THAI_SENTENCE = 40

_ORDINAL = re.compile(
    r"(?i:\b(?:d(?:er|ie|as|en|em|es)|[iav]m|vom|zu[mr]|beim|ab|bis|seit|eine?[mnrs]?))\s+(?:\d{1,3}|[IVX]+)\.$"
)
_BEFORE_MONTH = re.compile(r"\b\d\d?\.$")
_MONTH = re.compile(
    r"(?:J[aä]nner|Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember)\b"
)
# Characters on both sides of a full stop that are considered
_AROUND = 40
_SHORT = re.compile(r"(?:^|[\s(\[„“\"'])([^\s\d]{1,5})\.$")
_MOST_BEFORE_FIGURE = 4
# Abbreviations of titles and addresses, before a name; none is a word that ends sentences
_ABBREVIATIONS = frozenset(
    """dra sra srta mme mlle mgr inż ul pl św sv nr bd kl cad sok mah pgs ts ths tp βλ κα δρ αγ ул пр пл
    им гр проф акад डॉ प्रो पं""".split()  # noqa: RUF001, SIM905 - a word list reads as text
)

_LABELLED_ROW = re.compile(r"[^:;.]{1,60}: [^;]*; [^:;]{1,60}: ")
_LONGEST_ROW = 600


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return the spans of the sentences, in order. Within a line they are nupunkt's (Punkt: Kiss and Strunk 2006)."""
    spans: list[tuple[int, int]] = []
    start = 0
    for line in text.split("\n"):
        check()
        spans += [(start + a, start + b) for a, b in _in_line(line)]
        start += len(line) + 1
    return spans


def _in_line(line: str) -> Iterator[tuple[int, int]]:
    if not line.strip():
        return
    if len(line) <= _LONGEST_ROW and _LABELLED_ROW.match(line):
        yield trim_span(line, 0, len(line))
        return
    import nupunkt

    start = 0
    spans = nupunkt.sentence_spans(line)
    for at, (_, end) in enumerate(spans):
        before = line[max(start, end - _AROUND) : end].rstrip()
        if at + 1 == len(spans) or not _goes_on(before, line[end : end + _AROUND].lstrip()):
            yield from _at_foreign_stops(line, start, end)
            start = end


def _goes_on(before: str, after: str) -> bool:
    if _ORDINAL.search(before) or (_BEFORE_MONTH.search(before) and _MONTH.match(after)):
        return True
    if not (short := _SHORT.search(before)):
        return False
    word = short[1].lower()
    if after[:1].isdigit():
        return len(word) <= _MOST_BEFORE_FIGURE
    initial = len(word) == 1 and not word.isascii() and word.lower() != word.upper()
    return after[:1].islower() or word in _ABBREVIATIONS or initial


def _at_foreign_stops(line: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for stop in _FOREIGN_STOP.finditer(line, start, end):
        yield from _at_spaces(line, start, stop.end())
        start = stop.end()
    if line[start:end].strip():
        yield from _at_spaces(line, start, end)


def _at_spaces(line: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for border in _THAI_BORDER.finditer(line, start, end):
        if border.start() - start >= _THAI_SENTENCE:
            yield trim_span(line, start, border.start())
            start = border.end()
    yield trim_span(line, start, end)


def trim_span(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the span of `text[start:end]` without white space at its ends."""
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())

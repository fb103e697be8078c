"""Text to sentences with their places. Lines are borders: a list item or a table row is a sentence of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator

_FOREIGN_STOP = re.compile(r"[。！？｡؟۔।॥][。！？｡؟۔।॥」』）】”’\"')\]]*")  # noqa: RUF001 - full-width signs are what it looks for
"""Full stops of Chinese, Japanese, Arabic, Urdu and Hindi, with what may close after them."""
_LABELLED_ROW = re.compile(r"[^:;.]{1,60}: [^;]*; [^:;]{1,60}: ")
_LONGEST_ROW = 600


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Spans of the sentences of `text` in order, without surrounding white space.

    Together they cover every character that is not white space, and they do not overlap. Borders inside a line are
    found by nupunkt's Punkt model (Kiss and Strunk, 2006) with its list of abbreviations.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for line in text.split("\n"):
        spans += [(start + a, start + b) for a, b in _in_line(line)]
        start += len(line) + 1
    return spans


def _in_line(line: str) -> Iterator[tuple[int, int]]:
    if not line.strip():
        return
    if len(line) <= _LONGEST_ROW and _LABELLED_ROW.match(line):
        yield _tight(line, 0, len(line))
        return
    import nupunkt

    for start, end in nupunkt.sentence_spans(line):
        yield from _at_foreign_stops(line, start, end)


def _at_foreign_stops(line: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for stop in _FOREIGN_STOP.finditer(line, start, end):
        yield _tight(line, start, stop.end())
        start = stop.end()
    if line[start:end].strip():
        yield _tight(line, start, end)


def _tight(line: str, start: int, end: int) -> tuple[int, int]:
    part = line[start:end]
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())

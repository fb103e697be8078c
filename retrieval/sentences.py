"""Text to sentences with their places. Lines are borders: a list item or a table row is a sentence of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator

_FOREIGN_STOP = re.compile(r"[。！？｡؟۔।॥][。！？｡؟۔।॥」』）】”’\"')\]]*")  # noqa: RUF001 - full-width signs are what it looks for
"""Full stops of Chinese, Japanese, Arabic, Urdu and Hindi, with what may close after them."""
_LABELLED_ROW = re.compile(r"[^:;.]{1,60}: [^;]*; [^:;]{1,60}: ")
_LONGEST_ROW = 600
_CLAUSE_BORDER = re.compile(r"(?<=[,;:)\]–—])\s+|\s+(?=[(\[–—])")


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


def parts_of(sentence: str, most: int) -> list[tuple[int, int]]:
    """Spans of the runs of clauses that have at most `most` words and cannot be longer, in order; they overlap. Clauses end
    at punctuation, and one that is itself too long after `most` words.

    >>> text = "It runs, it prints (in black), and it rests."
    >>> [text[start:end] for start, end in parts_of(text, 7)]
    ['It runs, it prints (in black),', 'it prints (in black), and it rests.']
    """
    clauses = list(_clauses(sentence, most))
    words = [len(sentence[start:end].split()) for start, end in clauses]
    spans: list[tuple[int, int]] = []
    for first, (start, _) in enumerate(clauses):
        last, count = first, words[first]
        while last + 1 < len(clauses) and count + words[last + 1] <= most:
            last += 1
            count += words[last]
        if not spans or clauses[last][1] > spans[-1][1]:
            spans.append((start, clauses[last][1]))
    return spans


def _clauses(sentence: str, most: int) -> Iterator[tuple[int, int]]:
    start = 0
    borders = [(border.start(), border.end()) for border in _CLAUSE_BORDER.finditer(sentence)]
    for end, following in [*borders, (len(sentence), len(sentence))]:
        words = list(re.finditer(r"\S+", sentence[start:end]))
        for at in range(0, len(words), most):
            yield start + words[at].start(), start + words[min(at + most, len(words)) - 1].end()
        start = following


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

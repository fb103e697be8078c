"""Recognised words, put into reading order, and written as paragraphs and rows; unclear digits are marked."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

from retrieval.documents import Box, Word
from retrieval.formats.text_blocks import Draft, clean

# Stands for a digit that was not read surely: no figure, so that nobody takes it for one or is believed to have read it
UNCLEAR = "\u25af"
# Least share of lines that leave a gutter free where a page has two columns, least lines beside it, and their characters
_FREE, _BESIDE, _LONG = 0.9, 4, 20
_DIGIT = re.compile(r"\d")


def place_words(
    lines: Sequence[Sequence[Word]], size: tuple[int, int], frame: tuple[float, float, float, float]
) -> list[list[Word]]:
    """Return the lines of a picture of this size with their places on a page, on which it stands in this frame."""
    left, top, width, height = frame
    wide, high = width / size[0], height / size[1]
    return [
        [
            word._replace(
                left=left + word.left * wide,
                top=top + word.top * high,
                right=left + word.right * wide,
                bottom=top + word.bottom * high,
            )
            for word in line
        ]
        for line in lines
    ]


def add_page(draft: Draft, lines: Sequence[Sequence[Word]], bound: float, page: int | None) -> list[Word]:
    """Append a page to a draft, and return its words in the order and the form in which they stand there."""
    written: list[Word] = []
    for group in _groups(lines):
        rows = [[[_marked(word, bound) for word in cell] for cell in _cells(line)] for line in group]
        cells = [[" ".join(word.text for word in cell) for cell in row] for row in rows]
        if max(map(len, rows)) > 1:
            draft.table(cells, header=False, page=page)
        else:
            draft.add("paragraph", " ".join(cell for row in cells for cell in row), page=page)
        written += [word for row in rows for cell in row for word in cell]
    return written


def find_boxes(text: str, words: Sequence[Word], page: int, shift: int) -> Iterator[Box]:
    """Yield the place of each word of a page, by its characters in a document in which the page's text begins at `shift`."""
    at = 0
    for word in words:
        if (start := text.find(word.text, at)) >= 0:
            at = start + len(word.text)
            edges = (round(edge) for edge in (word.left, word.top, word.right, word.bottom))
            yield Box(shift + start, shift + at, page, *edges)


def _marked(word: Word, bound: float) -> Word:
    text = clean(word.text)
    return word._replace(text=_DIGIT.sub(UNCLEAR, text) if word.confidence < bound else text)


def _groups(lines: Sequence[Sequence[Word]]) -> Iterator[list[list[Word]]]:
    """Yield the lines of each paragraph or table, in reading order."""
    for column in _columns([[*line] for line in lines if line]):
        rows = _rows(column)
        height = median(word.bottom - word.top for row in rows for word in row) if rows else 0
        group: list[list[Word]] = []
        for row in rows:
            gap = min(word.top for word in row) - max(word.bottom for word in group[-1]) if group else 0
            if group and (gap > 1.5 * height or len(_cells(row)) != len(_cells(group[-1]))):
                yield group
                group = []
            group.append(row)
        if group:
            yield group


def _rows(lines: Sequence[list[Word]]) -> list[list[Word]]:
    """Return the lines from top to bottom, those on one base line together."""
    rows: list[list[Word]] = []
    for line in sorted(lines, key=_middle):
        if rows and _middle(line) - _middle(rows[-1]) < (_height(line) + _height(rows[-1])) / 4:
            rows[-1] = sorted([*rows[-1], *line], key=lambda word: word.left)
        else:
            rows.append(line)
    return rows


def _middle(line: Sequence[Word]) -> float:
    return sum(word.top + word.bottom for word in line) / len(line) / 2


def _height(line: Sequence[Word]) -> float:
    return sum(word.bottom - word.top for word in line) / len(line)


def _cells(row: Sequence[Word]) -> list[list[Word]]:
    """Return the words of a row, cut where a gap is wider than two letters are high."""
    cells = [[row[0]]]
    for before, word in pairwise(row):
        if word.left - before.right > 2 * _height(row):
            cells.append([])
        cells[-1].append(word)
    return cells


def _columns(lines: list[list[Word]]) -> list[list[list[Word]]]:
    """Return the lines of a page, those of a left and a right column apart where there are two of running text."""
    for gutter in range(400, 601, 20):
        left = [line for line in lines if line[-1].right <= gutter]
        right = [line for line in lines if line[0].left >= gutter]
        crossing = [line for line in lines if line[0].left < gutter < line[-1].right]
        long = [_length(side) >= _LONG and len(side) >= _BESIDE for side in (left, right)]
        if all(long) and len(left) + len(right) >= _FREE * len(lines):
            first = min(line[0].top for line in (*left, *right))
            return [
                part
                for part in (
                    [x for x in crossing if x[0].top < first],
                    left,
                    right,
                    [x for x in crossing if x[0].top >= first],
                )
                if part
            ]
    return [lines]


def _length(lines: Sequence[Sequence[Word]]) -> float:
    return sum(len(word.text) + 1 for line in lines for word in line) / max(len(lines), 1)

"""Clauses of a sentence, and the number of its words in every script."""

import re
from collections.abc import Iterator

_CLAUSE_BORDER = re.compile(
    r"(?<=[,;:)\]–—،؛])\s+|(?<!\s)\s+(?=[(\[–—])|(?<=[、，；：])|(?<=[）」』])(?![、，；：。．])|(?<=[\u0e00-\u0eff])\s+(?=[\u0e00-\u0eff])"  # noqa: RUF001 - full-width signs are meant
)
_DENSE = "\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_LONG = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_SPACED = re.compile(r"\S+")
_UNSPACED = re.compile(f"[{_DENSE}{_LONG}]")
# A word; without spaces, two characters of Chinese and Japanese or five of Thai, Lao, Burmese and Khmer count as one
_WORD = re.compile(rf"[{_DENSE}]{{1,2}}[^\w\s]*|[{_LONG}]{{1,5}}[^\w\s]*|[^\s{_DENSE}{_LONG}]+")


def parts_of(sentence: str, most: int) -> list[tuple[int, int]]:
    """Return the spans of the maximal runs of clauses with at most `most` words, in order; they overlap. Clauses end at
    punctuation, and one that is itself too long after `most` words.

    >>> text = "It runs, it prints (in black), and it rests."
    >>> [text[start:end] for start, end in parts_of(text, 7)]
    ['It runs, it prints (in black),', 'it prints (in black), and it rests.']
    """
    clauses = list(_clauses(sentence, most))
    words = [word_count(sentence[start:end]) for start, end in clauses]
    spans: list[tuple[int, int]] = []
    for first, (start, _) in enumerate(clauses):
        last, count = first, words[first]
        while last + 1 < len(clauses) and count + words[last + 1] <= most:
            last += 1
            count += words[last]
        if not spans or clauses[last][1] > spans[-1][1]:
            spans.append((start, clauses[last][1]))
    return spans


def word_count(text: str) -> int:
    """Return the number of words; in scripts without spaces, an equivalent number.

    >>> word_count("It runs, it prints."), word_count("保修期为两年。")
    (4, 3)
    """
    return len(_words(text))


def _words(text: str) -> list[re.Match[str]]:
    return list((_WORD if _UNSPACED.search(text) else _SPACED).finditer(text))


def _clauses(sentence: str, most: int) -> Iterator[tuple[int, int]]:
    start = 0
    for end, following in [*(border.span() for border in _CLAUSE_BORDER.finditer(sentence)), (len(sentence),) * 2]:
        words = _words(sentence[start:end])
        for at in range(0, len(words), most):
            yield start + words[at].start(), start + words[min(at + most, len(words)) - 1].end()
        start = following

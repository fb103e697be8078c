"""A long sentence is cut between clauses, to the part that is about the question."""

import re
from collections.abc import Iterator
from dataclasses import replace

from foundation.text.lexical import Rarity, terms
from foundation.text.words import find_words, word_count
from retrieval.grounding.citing import Evidence

_CLAUSE_BORDER = re.compile(
    r"(?<=[,;:)\]–—،؛])\s+|(?<!\s)\s+(?=[(\[–—])|(?<=[、，；：])|(?<=[）」』])(?![、，；：。．])|(?<=[\u0e00-\u0eff])\s+(?=[\u0e00-\u0eff])"  # noqa: RUF001 - full-width signs are meant
)


def narrow(question: str, evidence: Evidence, most: int) -> Evidence:
    """Cut a sentence of more than `most` words to the part with most of the question's rare terms, the first of equals."""
    if word_count(evidence.text) <= most:
        return evidence
    spans = parts_of(evidence.text, most)
    part_terms = [terms(evidence.text[start:end]) for start, end in spans]
    rarity = Rarity.among(terms(question), part_terms)
    start, end = spans[max(range(len(spans)), key=lambda place: rarity.coverage(part_terms[place]))]
    return replace(evidence, start=evidence.start + start, end=evidence.start + end, text=evidence.text[start:end])


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


def _clauses(sentence: str, most: int) -> Iterator[tuple[int, int]]:
    start = 0
    for end, following in [*(border.span() for border in _CLAUSE_BORDER.finditer(sentence)), (len(sentence),) * 2]:
        words = find_words(sentence[start:end])
        for at in range(0, len(words), most):
            yield start + words[at].start(), start + words[min(at + most, len(words)) - 1].end()
        start = following

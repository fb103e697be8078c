"""Whether a sentence says what its quotes say: the judge's probability, lowered by what speaks against it in so many words.

A figure or a name that the quotes lack, and a denial, lower what any judge says by a fixed share: judged claims hold too few of
them to learn from, and they are the errors that read well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foundation.text.lexical import denies, figures, names, terms, words
from foundation.text.sentences import sentence_spans
from models.contract import EntailmentJudge

_SAYS_THE_SAME = 0.6
"""Share of its terms from which a part of the quotes says nearly the same, so that a denial contradicts it."""
_WRONG, _FOREIGN = 0.5, 0.7
"""What is left of a score where a figure is unknown or something is denied, and where a name is unknown."""


@dataclass(frozen=True, slots=True)
class Check:
    """What came of holding one sentence against its quotes."""

    score: float
    """How sure it is, from 0 to 1, that they support it."""
    unknown_figures: frozenset[str] = frozenset()
    unknown_names: frozenset[str] = frozenset()
    denied: bool = False
    """One of them says nearly the same and denies it, or the sentence denies what they say."""
    closest: str = ""
    """The sentence of the quotes that has most of its terms."""


def check_sentences(sentences: Sequence[str], quotes: Sequence[str], judge: EntailmentJudge) -> list[Check]:
    """Each sentence held against all the quotes together; the judge is asked once. A sentence without a word, or without
    quotes, is not supported.

    Raises:
        ComponentError: the judge failed.
    """
    premise = "\n\n".join(quotes)
    parts = {premise[start:end]: terms(premise[start:end]) for start, end in sentence_spans(premise)}
    supports = judge.support([(premise, sentence) for sentence in sentences])
    return [
        _check(sentence, parts, support) if parts and words(sentence) else Check(0.0)
        for sentence, support in zip(sentences, supports, strict=True)
    ]


def _check(sentence: str, parts: dict[str, frozenset[str]], support: float) -> Check:
    claimed, everything = terms(sentence), " ".join(parts)
    shares = {part: len(claimed & present) / len(claimed) if claimed else 1.0 for part, present in parts.items()}
    alike = [part for part, share in shares.items() if share >= _SAYS_THE_SAME]
    unknown_figures = figures(sentence) - figures(everything)
    unknown_names = _unknown_names(sentence, everything)
    denied = bool(alike) and all(denies(part) != denies(sentence) for part in alike)
    wrong = _WRONG if unknown_figures or denied else 1.0
    foreign = _FOREIGN if unknown_names else 1.0
    return Check(support * wrong * foreign, unknown_figures, unknown_names, denied, max(shares, key=shares.__getitem__))


def _unknown_names(sentence: str, quotes: str) -> frozenset[str]:
    quoted_terms, lowered = terms(quotes), quotes.lower()
    return frozenset(
        name for name in names(sentence) if name.lower() not in lowered and not terms(name) <= quoted_terms
    )

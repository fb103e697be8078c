"""Whether a sentence says what its quotes say: the judge's probability, lowered by what speaks against it in so many words.

A figure or a name that the quotes lack, and a denial, lower what any judge says by a fixed share: judged claims hold too few of
them to learn from, and they are the errors that read well.
"""

from __future__ import annotations

from collections.abc import Sequence

from foundation.text.lexical import denies, figures, names, terms, words
from foundation.text.sentences import sentence_spans
from models.contract import EntailmentJudge

_SAYS_THE_SAME = 0.6
"""Share of its terms from which a part of the quotes says nearly the same, so that a denial contradicts it."""
_WRONG, _FOREIGN = 0.5, 0.7
"""What is left of a score where a figure is unknown or something is denied, and where a name is unknown."""


def support_of(sentences: Sequence[str], quotes: Sequence[str], judge: EntailmentJudge) -> list[float]:
    """How sure it is, from 0 to 1, that all the quotes together support each sentence; the judge is asked once. A sentence
    without a word, or without quotes, is not supported.

    Raises:
        ComponentError: the judge failed.
    """
    premise = "\n\n".join(quotes)
    parts = {premise[start:end]: terms(premise[start:end]) for start, end in sentence_spans(premise)}
    supports = judge.support([(premise, sentence) for sentence in sentences])
    return [
        support * _left_of(sentence, parts) if parts and words(sentence) else 0.0
        for sentence, support in zip(sentences, supports, strict=True)
    ]


def _left_of(sentence: str, parts: dict[str, frozenset[str]]) -> float:
    """The share of a judge's score that is left where a figure or a name is in none of the parts of the quotes, or where the
    sentence denies what all those say that say nearly the same, or they deny it."""
    claimed, quotes = terms(sentence), " ".join(parts)
    quoted_terms, lowered = terms(quotes), quotes.lower()
    alike = [part for part, own in parts.items() if not claimed or len(claimed & own) / len(claimed) >= _SAYS_THE_SAME]
    denied = bool(alike) and all(denies(part) != denies(sentence) for part in alike)
    wrong = _WRONG if denied or figures(sentence) - figures(quotes) else 1.0
    known = all(name.lower() in lowered or terms(name) <= quoted_terms for name in names(sentence))
    return wrong * (1.0 if known else _FOREIGN)

"""Support of a sentence by its quotes: the judge's probability, lowered by rules for figures, names and denials, errors
that read well and of which training data has too few.
"""

from collections.abc import Sequence

from foundation.text.lexical import denies, figures, names, terms, words
from foundation.text.sentences import sentence_spans
from models.contract import EntailmentJudge

# Share of a sentence's terms from which a part of the quotes says nearly the same, so that a denial contradicts
_SAYS_THE_SAME = 0.6
# Factors on a score where a figure is unknown or something is denied, and where a name is unknown
_WRONG, _FOREIGN = 0.5, 0.7


def support_of(sentences: Sequence[str], quotes: Sequence[str], judge: EntailmentJudge) -> list[float]:
    """Return the probability, from 0 to 1, that all quotes together support each sentence, in one call of the judge. A
    sentence without words, or without quotes, gets 0. Raises ComponentError: the judge failed.
    """
    premise = "\n\n".join(quotes)
    parts = {premise[start:end]: terms(premise[start:end]) for start, end in sentence_spans(premise)}
    if not parts:
        return [0.0] * len(sentences)
    supports = judge.support([(premise, sentence) for sentence in sentences])
    return [
        support * _left_of(sentence, parts) if words(sentence) else 0.0
        for sentence, support in zip(sentences, supports, strict=True)
    ]


def _left_of(sentence: str, parts: dict[str, frozenset[str]]) -> float:
    """Return the factor on a judge's score: below 1 where a figure or name is in no part of the quotes, or where the
    sentence and all parts that say nearly the same differ in a denial.
    """
    claimed, quotes = terms(sentence), " ".join(parts)
    quoted_terms, lowered = terms(quotes), quotes.lower()
    alike = [part for part, own in parts.items() if not claimed or len(claimed & own) / len(claimed) >= _SAYS_THE_SAME]
    denied = bool(alike) and all(denies(part) != denies(sentence) for part in alike)
    wrong = _WRONG if denied or figures(sentence) - figures(quotes) - quoted_terms else 1.0
    known = all(name.lower() in lowered or terms(name) <= quoted_terms for name in names(sentence))
    return wrong * (1.0 if known else _FOREIGN)

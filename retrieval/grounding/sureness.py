"""Whether quotes say what was asked: all of its words, and nothing against it. Look-alike questions differ in one word, which vectors hardly see."""

from collections.abc import Sequence
from dataclasses import dataclass

from foundation.text.lexical import figures, ordered_terms, terms, unmet_names
from retrieval.grounding.citing import Evidence, headings_of


@dataclass(frozen=True, slots=True)
class Signs:
    """What the confidence in quotes is made from."""

    strength: float
    """How much the evidence is about the question, from 0 to 1."""
    said: bool
    """One quote has every word of the question."""
    contradicted: bool


def says_all(question: str, quoted: Sequence[Evidence]) -> bool:
    """Whether one quote, with its headings, has every content word of the question, those that it has itself in the question's order."""
    wanted = ordered_terms(question)
    for item in quoted:
        own, over = ordered_terms(item.text), terms(headings_of(item.hit))
        following = iter(own)
        in_order = all(term in following for term in wanted if term in own)
        if wanted and in_order and over.union(own).issuperset(wanted):
            return True
    return False


def contradicts(question: str, quoted: Sequence[Evidence]) -> bool:
    """Whether the quotes with their headings lack a figure, name or identifier of the question."""
    quotes = " ".join(item.text for item in quoted)
    whole = f"{' '.join(dict.fromkeys(headings_of(item.hit) for item in quoted))} {quotes}"
    return bool(figures(question) - figures(whole) or unmet_names(question, whole))

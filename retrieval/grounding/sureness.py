"""Whether quotes say what was asked: all of its words, and nothing against it. Look-alike questions differ in one word, which vectors hardly see."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from foundation.text.lexical import asks_for, deny_alike, figures, offers, ordered_terms, terms, unmet_names, words
from retrieval.grounding.citing import Evidence, headings_of

# Function words that change what a sentence says. A list for English alone: elsewhere they do not occur
_RELATIONS = frozenset(
    """before after until since without against most all only less fewer first last except every each both neither between
    during never always under over above below""".split()  # noqa: SIM905 - a word list reads as text
)


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
    degrees = {after for before, after in pairwise(words(question)) if before == "how"}
    relations = _RELATIONS.intersection(words(question))
    wanted = [term for term in ordered_terms(question) if term not in {word[: len(term)] for word in degrees}]
    for item in quoted:
        own, over = ordered_terms(item.text), terms(headings_of(item.hit))
        following = iter(own)
        in_order = all(term in following for term in wanted if term in own)
        if wanted and in_order and over.union(own).issuperset(wanted) and relations <= set(words(item.text)):
            return True
    return False


def contradicts(question: str, quoted: Sequence[Evidence]) -> bool:
    """Whether the quotes with their headings lack a figure, name or identifier of the question, deny what it does not, or
    have nothing of the kind that it asks for.
    """
    quotes = " ".join(item.text for item in quoted)
    whole = f"{' '.join(dict.fromkeys(headings_of(item.hit) for item in quoted))} {quotes}"
    kind = asks_for(question)
    lacking = kind != "any" and not offers(kind, quotes, frozenset(words(question)))
    return bool(
        lacking
        or figures(question) - figures(whole)
        or unmet_names(question, whole)
        or not deny_alike(quotes, question)
    )

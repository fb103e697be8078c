"""A text with cached readings of it, for comparison with many claims."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from extensions.claims.quantities import Quantity, read_quantities
from foundation.text.lexical import ENGLISH_ALONE, FUNCTION_WORDS, as_typed, terms, words

WORD = re.compile(r"[^\W_][\w'’.-]*[^\W_]|[^\W_]")
# Words and figures as written; Chinese and Japanese characters one by one
_TOKEN = re.compile(r"[\u3040-\u9fff]|\d+(?:[.,:]\d+)*|[^\W\d_\u3040-\u9fff][\w'’]*")
_ENDING_IN_S = re.compile("['’]?s$")
# A run of capitalised words
CAPITALISED_RUN = re.compile(r"(?:[A-Z][\w’'-]*(?:\s+(?:of|the|and|for|&)\s+|\s+|-)?){2,8}")

# Share of English function words from which a text counts as English
_ENGLISH = 0.12


def tokens_of(text: str) -> list[str]:
    return _TOKEN.findall(as_typed(text))


@dataclass(frozen=True)
class Text:
    """One or several sentences, with cached readings."""

    text: str

    @cached_property
    def terms(self) -> frozenset[str]:
        return terms(self.text)

    @cached_property
    def words(self) -> list[str]:
        return words(self.text)

    @cached_property
    def word_set(self) -> frozenset[str]:
        return frozenset(self.words)

    @cached_property
    def is_english(self) -> bool:
        return sum(word in FUNCTION_WORDS for word in self.words) >= _ENGLISH * len(self.words)

    @cached_property
    def quantities(self) -> list[Quantity]:
        return read_quantities(self.text, english=self.is_english and bool(ENGLISH_ALONE & self.word_set))

    @cached_property
    def tokens(self) -> list[str]:
        return tokens_of(self.text)

    @cached_property
    def token_terms(self) -> list[str]:
        """The term of each token; empty for function words."""
        return [min(terms(token), default="") for token in self.tokens]

    @cached_property
    def spellings(self) -> frozenset[str]:
        """Words whole and in parts, codes without hyphens, initials of capitalised runs; lower case."""
        spellings = {word.lower().removesuffix("'s").removesuffix("’s") for word in WORD.findall(as_typed(self.text))}
        spellings |= {part for word in spellings for part in re.split(r"[-.'’/]", word)}
        joined = {re.sub(r"[-_.]", "", word) for word in spellings}
        return frozenset(spellings | joined | self.word_set | set(map(initials_of, CAPITALISED_RUN.findall(self.text))))

    @cached_property
    def abbreviations(self) -> frozenset[str]:
        """Words in capitals alone, in lower case and without full stops; "NASA's" and "NGOs" without their endings."""
        stems = (_ENDING_IN_S.sub("", word) for word in WORD.findall(self.text))
        return frozenset(stem.replace(".", "").lower() for stem in stems if stem.isupper())

    @cached_property
    def initials(self) -> str:
        """The initials of all words but function words; sentences apart."""
        sentences = (words(sentence) for sentence in re.split(r"[.!?\n]", self.text))
        return " ".join("".join(word[0] for word in own if word not in FUNCTION_WORDS) for own in sentences)

    @cached_property
    def prefixes(self) -> dict[str, list[str]]:
        grouped: dict[str, list[str]] = {}
        for word in self.spellings:
            grouped.setdefault(word[:4], []).append(word)
        return grouped

    def share(self, claim: Text) -> float:
        """Return the share of the claim's terms in this text."""
        return len(claim.terms & self.terms) / len(claim.terms) if claim.terms else 0.0


def initials_of(run: str) -> str:
    """Return the initials of a run of capitalised words: "United Kingdom" gives "uk"."""
    return "".join(word[0] for word in re.findall(r"[A-Z][\w’']*", run)).lower()

"""Lexical features of a text without a model: terms, figures, names."""

from __future__ import annotations

import calendar
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import log

from foundation.machine.deadline import check
from foundation.text import tokens
from foundation.text.tokens import UNSPACED, arabic_stems, in_latin_letters, latin_digits, latin_spelling

_CODE = re.compile(r"(?<![\w-])(?:[A-Z]{2}[A-Z0-9-]*|[A-Za-z]+-?\d[\w-]*|\d+\.\d[\w.]*\w|\d+\.\d)(?!\w)")
# A capitalised word inside a sentence; what is before it is matched possessively, so that the search stays linear
_INSIDE = re.compile(r"(?<![ (“\"'-])(?:(?<=[^\s.!?:;])[ (“\"'-]++| *+[(“\"'-][ (“\"'-]++)([A-Z][\w’'-]*\w|[A-Z])")
# In the language of this process: a day of a question may lie between two of the text
_CALENDAR = frozenset(map(str.lower, (*calendar.month_name, *calendar.day_name)))
# Share of capitalised words from which capitals name nothing; English prose has about a tenth
_MANY_CAPITALS = 0.2
# Vowel signs and the like, which belong to the letter before them; Python's `\w` leaves them out
_SIGNS = (
    "".join(map(chr, filter(lambda one: unicodedata.category(chr(one))[0] == "M", range(0x300, 0x1800)))) + "\u200d"
)
_LETTERS = rf"[^\W\d_]+(?:[{_SIGNS}]+[^\W\d_]*)*"
_LETTERS_ONLY = re.compile(r"[^\W\d_]+")
_NOT_LATIN = re.compile(r"[^\u0000-\u024f\u1e00-\u1eff]")
_PLAIN_WORD = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)?|[^\W_]+")
_WORD = re.compile(rf"\d+(?:[.,:]\d+)*|{_LETTERS}(?:['’]{_LETTERS})?|[^\W_]+")
_RAISED_OR_LOWERED = re.compile("[\u207a\u207b]?[\xb2\xb3\xb9\u2070\u2074-\u2079\u2080-\u2089]+")
_ACCENTS = re.compile("[\u0300-\u036f]")
_VERSION = re.compile(r"(?<![\d.,])\d{1,4}(?:\.\d{1,4})++(?![\d,])")
_FIGURE = re.compile(r"\d+(?:[.,:/]\d+)*")
# Words that share this many letters count as the same: measured a little better than a stemmer, and in any language
_PREFIX = 5

# Keyword search looks for some words that say nothing of what a sentence is about
FUNCTION_WORDS = tokens.FUNCTION_WORDS | frozenset(
    "down else ever few get give let like make many may might much must please shall tell upon us without".split()  # noqa: SIM905 - a word list reads as text
)
# English function words that are not also words of German, Spanish or French
ENGLISH_ALONE = FUNCTION_WORDS - frozenset("a an am as do he her i in me no on so us was will".split())  # noqa: SIM905
_FEW_WORDS = 3
# A shorter passage may be a row of a table or a list of names
_PASSAGE_WORDS = 8
_DENIALS = frozenset(
    """no not never none neither nor cannot without nothing nobody nowhere unable fails failed lacks lack excluded
    excludes except hardly""".split()  # noqa: SIM905 - as above
)


def is_foreign(question: str) -> bool:
    """Whether a question is surely not English: a third of its letters are not Latin, or it has more than three words
    and no function word of English alone. It recognises at least 0.97 of 674 questions each in German, Spanish, Russian
    and Chinese, and takes 1 of 674 English ones for foreign (xquad).

    >>> [is_foreign(text) for text in ("Wie lange gilt die Garantie?", "¿Cuánto cuesta el envío urgente?", "保修期多久")]
    [True, True, True]
    >>> [is_foreign(text) for text in ("How long is the warranty?", "Refund AB-10017", "What does 保修期 mean?")]
    [False, False, False]
    """
    letter_runs = _LETTERS_ONLY.findall(question.casefold())
    letters = "".join(letter_runs)
    if 3 * len(_NOT_LATIN.findall(letters)) >= len(letters) > 0:
        return True
    return len(letter_runs) > _FEW_WORDS and not any(word in ENGLISH_ALONE for word in letter_runs)


def are_of_two_languages(question: str, passage: str) -> bool:
    """Whether they surely are: one is English and the other is not, or their letters are of two scripts.

    >>> are_of_two_languages("Wie lange gilt die Garantie?", "The warranty of the pumps is three years.")
    True
    >>> are_of_two_languages("How long is the warranty?", "Pump P-40, flange, gasket")
    False
    """
    if in_latin_letters(question) != in_latin_letters(passage):
        return True
    is_short = len(_LETTERS_ONLY.findall(passage)) < _PASSAGE_WORDS
    return not is_short and is_foreign(question) != is_foreign(passage)


def words(text: str) -> list[str]:
    """Return the words as keyword search sees them; runs of scripts without spaces as overlapping pairs.

    >>> words("Élan und Café; वारंटी"), words("保修期")
    (['elan', 'und', 'cafe', 'वारंटी'], ['保修', '修期'])
    """
    check()  # almost every function here calls this for each part of a long text
    result: list[str] = []
    for word in (_PLAIN_WORD if text.isascii() else _WORD).findall(_fold(text)):
        if UNSPACED.search(word) and len(word) > 1:
            result += [word[i : i + 2] for i in range(len(word) - 1)]
        else:
            result.append(word.removesuffix("'s").removesuffix("’s"))
    return result


def _fold(text: str) -> str:
    if text.isascii():
        return text.lower()
    plain = latin_spelling(_ACCENTS.sub("", unicodedata.normalize("NFD", text.lower())))
    return arabic_stems(unicodedata.normalize("NFC", latin_digits(as_typed(plain))))


def as_typed(text: str) -> str:
    """Return raised and lowered digits as people type them.

    >>> as_typed("120 m², 10⁶, CO₂")
    '120 m2, 10^6, CO2'
    """
    return _RAISED_OR_LOWERED.sub(
        lambda digits: (
            ("^" if text[digits.start() - 1 : digits.start()].isdecimal() else "")
            + unicodedata.normalize("NFKC", digits[0])
        ),
        text,
    )


def terms(text: str) -> frozenset[str]:
    """Return a text's terms: content words cut to their first letters, and whole figures."""
    return frozenset(ordered_terms(text))


def ordered_terms(text: str) -> list[str]:
    """Return a text's terms in the order in which they stand there."""
    content = (word for word in words(text) if word not in FUNCTION_WORDS)
    return [word.replace(",", "") if word[:1].isdigit() else word[:_PREFIX] for word in content]


@dataclass(frozen=True)
class Rarity:
    """Weights of terms by their rarity in given texts; a term in none of them weighs most."""

    weights: dict[str, float]

    @classmethod
    def among(cls, wanted: Iterable[str], texts: Sequence[frozenset[str]]) -> Rarity:
        count = len(texts)
        return cls({t: log(1 + (count + 1) / (sum(t in text for text in texts) + 0.5)) for t in wanted})

    def coverage(self, present: frozenset[str]) -> float:
        """Return the share, by weight, of the wanted terms in `present`; 0 without wanted terms."""
        return sum(self.weights_matched(present))

    def weights_matched(self, present: frozenset[str]) -> tuple[float, ...]:
        """Return for each wanted term its weight if it is in `present`, else 0; all weights sum to 1."""
        total = sum(self.weights.values())
        return tuple(weight / total if term in present else 0.0 for term, weight in self.weights.items())


def versions(text: str) -> frozenset[str]:
    """Return the version numbers, which have two or more parts: "3.2", "1.10.2".

    >>> sorted(versions("Firmware 3.2.1 replaces v3.2; it takes 20 minutes."))
    ['3.2', '3.2.1']
    """
    return frozenset(_VERSION.findall(text))


def figures(text: str) -> frozenset[str]:
    """Return the numbers in one spelling: "1,000" equals "1000"."""
    found = _FIGURE.findall(latin_digits(text))
    return frozenset(re.sub(r"(?<=\d),(?=\d{3})", "", match).rstrip(".") for match in found)


def names(text: str) -> frozenset[str]:
    """Return capitalised words, except those that merely begin a sentence or are part of a heading in capitals."""
    return frozenset(
        match[1].removesuffix("'s").removesuffix("’s")
        for match in _INSIDE.finditer(text)
        if match[1].lower() not in FUNCTION_WORDS
    )


def unmet_names(question: str, text: str) -> frozenset[str]:
    """Return the names, abbreviations and codes of the question that the text lacks, up to one letter more or less.
    Numbers alone are left out (an amount in a question is the person's own), and so are months, days, and capitalised
    words of a question that is not English or of a text with many, as in German.

    >>> sorted(unmet_names("Can the QS-3 read RFID tags in Leeds?", "The QS-3 reads codes. Ask in leeds."))
    ['RFID']
    """
    text_words = set(words(text)) | {word.lower() for word in _CODE.findall(text)}
    many = is_foreign(question) or len(names(text)) > _MANY_CAPITALS * len(set(words(text)))
    wanted = {word for word in _CODE.findall(question) if word.lower() not in FUNCTION_WORDS}
    if not many:
        wanted |= {name for name in names(question) if name.lower().removesuffix("s") not in _CALENDAR}
    lacking = {word for word in wanted if word.lower() not in text_words and not text_words.issuperset(words(word))}
    long = {word for word in lacking if word.isalpha() and len(word) > _PREFIX}
    return frozenset(lacking - {word for word in long if get_close_matches(word.lower(), text_words, n=1, cutoff=0.8)})


def denies(text: str) -> bool:
    """Whether the English text has an odd number of denials."""
    return sum(word in _DENIALS or word.endswith(("n't", "n’t")) for word in words(text)) % 2 == 1

# ruff: noqa: RUF001 - words of many scripts are the subject
"""Makes a false answer of a true one, by rules that can be stated: another number, name or date, a denial, a comparison turned round.

The rules are written apart from the check that they measure, and share no code with it. Each changes one thing in one
place, and gives `None` where an answer has nothing of its kind.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

Rule = Callable[[str, str, Sequence[str], random.Random], str | None]
"""An answer, the text that it rests on, other texts, and chance, to the changed answer."""

_NUMBER = re.compile(r"(?<![\w.,\[-])\d+(?:[.,]\d+)*(?![\w\]-])")
_MONTHS = "January February March April May June July August September October November December".split()  # noqa: SIM905
_MONTH = re.compile(rf"\b(?:{'|'.join(_MONTHS)})\b")
_YEAR = re.compile(r"\b(?:1[5-9]|20)\d\d\b")
_NAME = re.compile(r"(?<=[a-z0-9,] )(?:[A-Z][\w'’-]+)(?: [A-Z][\w'’-]+)*")
_CYRILLIC_NAME = re.compile(r"(?<=[а-я0-9,] )(?:[А-Я][а-я-]{2,})(?: [А-Я][а-я-]+)*")
_TURNED = [
    ("more", "less"), ("higher", "lower"), ("larger", "smaller"), ("before", "after"), ("first", "last"),
    ("increase", "decrease"), ("increases", "decreases"), ("increased", "decreased"), ("above", "below"),
    ("most", "least"), ("highest", "lowest"), ("largest", "smallest"), ("always", "never"), ("maximum", "minimum"),
    ("faster", "slower"), ("longer", "shorter"), ("earlier", "later"), ("better", "worse"), ("north", "south"),
    ("northern", "southern"), ("east", "west"), ("eastern", "western"), ("improve", "worsen"), ("older", "younger"), ("oldest", "youngest"), ("inside", "outside"), ("enable", "prevent"), ("best", "worst"),
]  # fmt: skip
_OPPOSITE = {a: b for pair in _TURNED for a, b in (pair, pair[::-1])}
_COMPARISON = re.compile(rf"\b(?:{'|'.join(_OPPOSITE)})\b")
_DENIALS: dict[str, tuple[tuple[str, str], ...]] = {
    "en": (
        (r"\bcannot\b", "can"), (r"\b(is|are|was|were|can|could|will|would|should|must|may|does|do|did|has|have) not\b", r"\1"),
        (r"\b(is|are|was|were|does|do|did|has|have)n['’]t\b", r"\1"), (r"\bnever\b", "always"),
        (r"\b(is|are|was|were|can|will|should|must|may|could|would)\b(?! not)", r"\1 not"),
        (r"\b(has|have|had)\b(?= \w+ed\b| been)", r"\1 not"),
        (r"\b(allows|includes|requires|supports|provides|offers|contains|helps|means|lives|plays|uses)\b", r"never \1"),
    ),
    "de": ((r"\b(ist|sind|war|waren|wird|werden|wurde|wurden|kann|können|hat|haben|hatte|hatten|konnte|konnten)\b", r"\1 nicht"),),
    "es": ((r"\b(es|son|fue|fueron|era|eran|está|están|tiene|tienen|puede|pueden|se|había|ha|han|había)\b", r"no \1"),),
    "ru": ((r"\b(был|была|было|были|является|являются|имеет|имеют|может|могут|стал|стала|стали)\b", r"не \1"),),
    "zh": ((r"(?<!不)是(?!否)", "不是"), (r"(?<!没)有(?!限|关|效)", "没有"), (r"可以", "不可以"), (r"(?<!不)能(?!力|量)", "不能"), (r"(?<!不)会(?!议)", "不会")),
}  # fmt: skip
_COMMON = {
    "de": {"der", "die", "und", "das", "ein", "eine", "von", "mit", "wie", "was", "wer"},
    "es": {"el", "la", "los", "las", "de", "que", "en", "por", "una", "qué", "quién", "cuál"},
    "en": {"the", "of", "and", "to", "in", "is", "was", "what", "who", "how"},
}


def language_of(text: str) -> str:
    """One of `en`, `de`, `es`, `ru`, `zh`, by letters and function words."""
    if re.search(r"[\u4e00-\u9fff]", text):
        return "zh"
    if re.search(r"[а-яА-Я]", text):
        return "ru"
    words = re.findall(r"\w+", text.lower())
    return max(("en", "de", "es"), key=lambda language: sum(word in _COMMON[language] for word in words))


def swap_number(answer: str, _evidence: str, _others: Sequence[str], chance: random.Random) -> str | None:
    """One number by another of the same length that stands nowhere in the evidence."""
    return _replace(answer, _numbers(answer), lambda number: _other_number(number, _evidence, chance), chance)


def swap_number_within(answer: str, evidence: str, _others: Sequence[str], chance: random.Random) -> str | None:
    """One number by another number of the evidence."""
    present = {match[0] for match in _numbers(answer)}
    candidates = sorted({match[0] for match in _numbers(evidence)} - present)
    if not candidates:
        return None
    return _replace(answer, _numbers(answer), lambda number: _alike(number, candidates, chance), chance)


def swap_date(answer: str, _evidence: str, _others: Sequence[str], chance: random.Random) -> str | None:
    """A month or a year by another one that stands nowhere in the evidence."""
    places = [*_MONTH.finditer(answer), *_YEAR.finditer(answer)]

    def other(date: str) -> str | None:
        options = (
            _MONTHS
            if date in _MONTHS
            else [str(int(date) + step) for step in (-30, -11, -3, -1, 1, 2, 7, 20) if date.isdigit()]
        )
        options = [option for option in options if option != date and option not in _evidence]
        return chance.choice(options) if options else None

    return _replace(answer, places, other, chance)


def swap_name(answer: str, evidence: str, others: Sequence[str], chance: random.Random) -> str | None:
    """A name by one of another text, of as many words where there is one."""
    names = sorted({name[0] for text in others for name in _names(text) if name[0] not in evidence})

    def other(name: str) -> str | None:
        alike = [option for option in names if len(option.split()) == len(name.split())] or names
        return chance.choice(alike) if alike else None

    return _replace(answer, _names(answer), other, chance)


def deny(answer: str, _evidence: str, _others: Sequence[str], chance: random.Random) -> str | None:
    """The first denial taken away; where there is none, a verb denied."""
    for pattern, changed in _DENIALS[language_of(answer)]:
        places = list(re.finditer(pattern, answer))
        if places:
            place = chance.choice(places)
            return answer[: place.start()] + place.expand(changed) + answer[place.end() :]
    return None


def turn_round(answer: str, _evidence: str, _others: Sequence[str], chance: random.Random) -> str | None:
    """A word that compares by its opposite."""
    return _replace(answer, list(_COMPARISON.finditer(answer)), lambda word: _OPPOSITE[word], chance)


RULES: dict[str, Rule] = {
    "number": swap_number,
    "number_within": swap_number_within,
    "date": swap_date,
    "name": swap_name,
    "denied": deny,
    "comparison": turn_round,
}


def _numbers(text: str) -> list[re.Match[str]]:
    return list(_NUMBER.finditer(text))


def _names(text: str) -> list[re.Match[str]]:
    found = [*_NAME.finditer(text), *_CYRILLIC_NAME.finditer(text)]
    return [name for name in found if len(name[0]) > 3 and not _MONTH.search(name[0])]


def _replace(
    text: str, places: Sequence[re.Match[str]], other: Callable[[str], str | None], chance: random.Random
) -> str | None:
    if not places:
        return None
    place = chance.choice(places)
    changed = other(place[0])
    return None if changed is None else text[: place.start()] + changed + text[place.end() :]


def _other_number(number: str, evidence: str, chance: random.Random) -> str:
    for _ in range(50):
        digits = [str(chance.randint(1, 9)) if char.isdigit() else char for char in number]
        if (changed := "".join(digits)) not in evidence:
            return changed
    return f"{number}7"


def _alike(number: str, candidates: Sequence[str], chance: random.Random) -> str:
    alike = [candidate for candidate in candidates if len(candidate) == len(number)]
    return chance.choice(alike or candidates)

"""Unknown names: names and codes of a claim that its passages have in no form."""

import re
from collections.abc import Iterator
from os.path import commonprefix

from extensions.claims.quantities import EVERY_MONTH
from extensions.claims.texts import CAPITALISED_RUN, WORD, Text, initials_of
from foundation.text.lexical import FUNCTION_WORDS, words
from foundation.text.tokens import in_latin_letters

_LABEL = re.compile(r"[^.:;!?]{2,80}:\s")
_SENTENCE_START = re.compile(r"(?:^|[.!?:;\n\u2022]|[-–—]\s|[.!?:]\W)\W*$")
# Share of a claim's words that have capitals from which these name nothing: as in title case, or in German
_MANY_CAPITALS, _MANY_IN_ENGLISH = 0.34, 0.5
_AROUND = 40
_QUOTED_ZH = re.compile(r"[\u4e00-\u9fff]{1,8}(?:·[\u4e00-\u9fff]{1,8})+")
# Endings of two forms of a name: Germany and German, Italy and Italian
_ENDINGS = frozenset(["", *"s es n an ian ish ese ans ians e er en y i a ia as os o in ed ern".split()])  # noqa: SIM905
_TITLES = frozenset("mr mrs ms dr prof sir lady herr frau señor señora dr. mr. mrs.".split())  # noqa: SIM905
_NO_NAMES = FUNCTION_WORDS | _TITLES | EVERY_MONTH
# Characters before its brackets in which an abbreviation is spelled out; without a limit a long list takes quadratic time
_SPELLED_WITHIN = 200
_LETTERED = re.compile(r"[A-Z]-[a-z]+")  # T-shirt, X-ray
_IN_BRACKETS = re.compile(r"\(([A-Z][\w-]{1,9})\)")
_CODE = re.compile(r"[A-Za-z]++[-_]?\d[\w-]*|\w[^\W_]*+_\w+|[A-Z]{2}[\w-]*")


def unknown_names(
    claim: Text, evidence: Text, *, before: str = "", codes_alone: bool = False, english: bool = False
) -> list[str]:
    """Return the names and codes of the claim that the evidence has in no form. `codes_alone` where it is in another
    language, which spells names and capitals differently; of another script's text also the names in the evidence's.
    `english`: they are in English. `before`: the answer before the claim, which may explain abbreviations.
    """
    runs = [run for run in CAPITALISED_RUN.findall(claim.text) if len(initials_of(run)) > 1]
    known = {word for run in runs if initials_of(run) in evidence.abbreviations for word in WORD.findall(run)}
    # "chronic kidney disease (CKD)" explains its abbreviation itself
    text = f"{before} {claim.text}"
    explained = {match[1] for match in _IN_BRACKETS.finditer(text) if _is_spelled_before(match, text)}
    names = list(dict.fromkeys(_names(claim.text, _MANY_IN_ENGLISH if english else _MANY_CAPITALS)))
    if codes_alone:
        script = in_latin_letters(evidence.text)
        other = script != in_latin_letters(claim.text)
        names = [name for name in names if _CODE.fullmatch(name) or (other and in_latin_letters(name) == script)]
    return [name for name in names if name not in known | explained and not is_known(name, evidence)]


def _is_spelled_before(bracket: re.Match[str], text: str) -> bool:
    """Whether the signs in brackets stand in order in the few words before it, the first at the beginning of one. After
    Schwartz and Hearst, A simple algorithm for identifying abbreviation definitions in biomedical text, 2003.
    """
    signs = re.sub(r"\W", "", bracket[1].removesuffix("s")).lower()
    before = text[max(0, bracket.start() - _SPELLED_WITHIN) : bracket.start()].lower().split()
    spelled = " ".join(before[-min(len(signs) + 5, 2 * len(signs)) :])
    begins = re.search(rf"(?<!\w){re.escape(signs[:1])}", spelled)
    rest = iter(spelled[begins.end() :] if begins else "")
    return len(signs) > 1 and begins is not None and all(sign in rest for sign in signs[1:])


def _names(text: str, many: float) -> Iterator[str]:
    yield from (name for whole in _QUOTED_ZH.findall(text) for name in whole.split("·") if len(name) > 1)
    # A label in title case before a colon names nothing
    label = _LABEL.match(text)
    own = [word for word in WORD.findall(label[0]) if word.lower() not in FUNCTION_WORDS] if label else []
    begin = label.end() if label and 2 * sum(word[:1].isupper() for word in own) > len(own) else 0
    matches = list(WORD.finditer(text))
    capitals = [m for m in matches if m.start() >= begin and m[0][:1].isupper()]
    inside = [m for m in capitals if not _SENTENCE_START.search(text[max(0, m.start() - 4) : m.start()])]
    if len(inside) > many * len(matches) and len(matches) > 6:
        inside = [m for m in inside if _CODE.fullmatch(m[0]) or _in_run(text, m)]
    starts = {m.start() for m in inside}
    for match in matches:
        word = match[0].removesuffix("'s").removesuffix("’s")
        # "I'll" and "It's" are no names either
        is_name = match.start() in starts and re.split("['’]", word.lower())[0] not in _NO_NAMES
        is_code = match.start() >= begin and _CODE.fullmatch(word) and word.lower() not in FUNCTION_WORDS
        if len(word) > 1 and (is_name or is_code) and not _LETTERED.fullmatch(word):
            yield word


def _in_run(text: str, match: re.Match[str]) -> bool:
    before = re.search(r"([^\W\d_][\w'’-]*) $", text[max(0, match.start() - _AROUND) : match.start()])
    after = re.match(r" ([^\W\d_])", text[match.end() : match.end() + 2])
    return bool(
        (before and before[1][:1].isupper() and (before.start() > 0 or match.start() > _AROUND))
        or (after and after[1].isupper())
    )


def is_known(name: str, evidence: Text) -> bool:
    """Whether the evidence has the name, inflected or as initials.

    >>> text = Text("The Federal Reserve of Germany met in Italy.")
    >>> [is_known(name, text) for name in ("FR", "Italian", "Germans", "Germany-based", "France")]
    [True, True, True, True, False]
    """
    lowered = name.lower()
    if len(re.sub(r"\W", "", name)) < 3 and name.isupper():
        return True  # too short to decide
    if name[:-1].isupper() and name.endswith("s") and lowered[:-1] in evidence.spellings:
        return True
    if lowered in evidence.spellings or re.sub(r"[-_.]", "", lowered) in evidence.spellings:
        return True
    parts = [part for part in re.split(r"[-.'’/_]", lowered) if part]
    if len(parts) > 1 and all(part in evidence.spellings or _is_inflected(part, evidence) for part in parts):
        return True
    # In an abbreviation, a number repeats the letter before it
    letters = re.sub(r"([A-Z])([2-4])", lambda match: match[1] * int(match[2]), name.removesuffix("s"))
    if len(letters) > 2 and letters.isalpha() and letters.isupper():
        # three letters stand by chance among the initials of any long text, unless its words have capitals
        return letters.lower() in evidence.spellings or (len(letters) > 3 and letters.lower() in evidence.initials)
    own = words(name)
    spelled = bool(own) and all(word in evidence.word_set for word in own)
    # Known words with an ordinary one: "HIV-positive" where the evidence has HIV
    pieces = re.split(r"[-/]", name)
    telling = [piece for piece in pieces if len(piece) > 1 and not piece.islower()] or [p for p in pieces if len(p) > 1]
    compound = any(len(piece) > 2 and piece.islower() for piece in pieces[1:])
    return spelled or _is_inflected(lowered, evidence) or (compound and all(is_known(p, evidence) for p in telling))


def _is_inflected(word: str, evidence: Text) -> bool:
    if len(word) < 4 or not word.isalpha():
        return False
    foreign = not word.isascii()
    for other in evidence.prefixes.get(word[:4], ()):
        common = len(commonprefix((word, other)))  # noqa: RUF071 - of words
        rests = word[common:], other[common:]
        if foreign and common >= max(4, min(len(word), len(other)) - 3) and max(map(len, rests)) <= 3:
            return True
        if all(rest in _ENDINGS for rest in rests):
            return True
    return False

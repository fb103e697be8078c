"""Tokens for keyword search in any script, as words separated by spaces.

Runs without spaces (Chinese, Japanese, Thai ...) become overlapping pairs of characters, Arabic is spelt in one way and loses its
commonest affixes, long words in Cyrillic, Greek and Armenian keep their first letters. Segmenters bring a dictionary a language, and
those of ICU differ from one machine to the next, which an index must not.
"""

import re
import unicodedata

UNSPACED = re.compile(
    "["
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f"  # Burmese
    "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"  # Korean
    "\u1780-\u17ff"  # Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"  # Japanese
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
    "]+"
)
_ARABIC = re.compile("[\u0610-\u061a\u0620-\u065f\u066e-\u06d3\u06d5-\u06dc\u06df-\u06e8\u06ea-\u06ef\u06fa-\u06ff]+")
_ARABIC_MARKS = re.compile("[\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed]")
_ARABIC_SPELLING = str.maketrans(
    # alef with hamza, madda or wasla -> alef; alef maksura and Persian yeh -> yeh; teh marbuta -> heh; keheh -> kaf
    "\u0623\u0625\u0622\u0671\u0649\u06cc\u0629\u06a9",
    "\u0627\u0627\u0627\u0627\u064a\u064a\u0647\u0643",
)
_FOREIGN_DIGIT = re.compile(r"(?![0-9])\d")
_AND = "\u0648"
_PREFIXES = ("بال", "كال", "فال", "لل", "ال")
_SUFFIXES = ("ها", "ان", "ات", "ون", "ين", "يه", "ه", "ي")  # noqa: RUF001 - Arabic is meant
# Cutting words to five letters conflates forms nearly as well as a stemmer for each language: McNamee, Nicholas and
# Mayfield, "Addressing Morphological Variation in Alphabetic Languages", SIGIR 2009.
_INFLECTED = re.compile(r"([\u0370-\u03ff\u0400-\u052f\u0531-\u0587]{5})[\u0370-\u03ff\u0400-\u052f\u0531-\u0587]+")

# Spellings of CLDR's transform Latin-ASCII for letters that Unicode does not decompose
_LATIN_SPELLING = str.maketrans(
    {"æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ß": "ss", "ẞ": "SS", "þ": "th", "Þ": "TH"}
    | dict(zip("øØłŁđĐðÐħĦŧŦŋŊı", "oOlLdDdDhHtTnNi", strict=True))
)

# Letters below this one are Latin, including those with marks; Latin ones above are too few to matter
_AFTER_LATIN = "\u0370"

FUNCTION_WORDS = frozenset(
    """a about after all also am an and any are as at be because been before being between both but by can could did do
    does doing during each for from further had has have having he her here hers him his how i if in into is it its
    itself just me more most my no nor not of off on once only or other our ours out over own same she should so some
    such than that the their theirs them then there these they this those through to too under until up very was we
    were what when where which while who whom whose why will with would you your yours""".split()  # noqa: SIM905 - reads best as text
)


def searchable(text: str) -> str:
    """Return the text in the form of the keyword index. If this function changes, indexes must be rewritten.

    >>> searchable("QP-5的保修期为两年")
    'QP-5 的保 保修 修期 期为 为两 两年 '
    """
    if text.isascii():
        return text
    plain = unicodedata.normalize("NFKC", latin_spelling(unicodedata.normalize("NFKD", text)))
    return UNSPACED.sub(_pairs, arabic_stems(_INFLECTED.sub(r"\1", plain)))


def latin_spelling(text: str) -> str:
    """Spell letters such as ß and ø, which have no accent to drop, as people elsewhere type them.

    >>> latin_spelling("Straße, Malmø, Łask")
    'Strasse, Malmo, Lask'
    """
    # Unidecode and anyascii write other scripts in Latin letters too; PyICU's transform differs from machine to machine
    return text.translate(_LATIN_SPELLING)


def latin_digits(text: str) -> str:
    return _FOREIGN_DIGIT.sub(lambda digit: str(unicodedata.digit(digit[0])), text)


def arabic_stems(text: str) -> str:
    """Return the text with Arabic and Persian words in one spelling, without their commonest affixes.

    >>> arabic_stems("QP-5: الكتاب وكتابها")
    'QP-5: كتاب كتاب'
    """
    return _ARABIC.sub(_light_stem, text)


def telling_words(query: str) -> list[str]:
    """Return a query's words in the form of `searchable`, without function words unless there are no others.

    >>> telling_words("What is the warranty of the QP-5?")
    ['warranty', 'QP', '5']
    """
    all_words = words(query)
    return [word for word in all_words if word.lower() not in FUNCTION_WORDS] or all_words


def words(text: str) -> list[str]:
    """Return all words of a text in the form of `searchable`, in order."""
    text = searchable(text)
    return "".join(c if c.isalnum() or c == "_" or unicodedata.category(c)[0] == "M" else " " for c in text).split()


def in_latin_letters(text: str) -> bool:
    """Whether at least half of the text's letters are Latin, or it has none.

    >>> in_latin_letters("Die Garantie für QP-5 (保修)"), in_latin_letters("QP-5的保修期")
    (True, False)
    """
    if text.isascii():
        return True
    letters = [letter for letter in text if letter.isalpha()]
    return 2 * sum(letter < _AFTER_LATIN for letter in letters) >= len(letters)


def _pairs(run: re.Match[str]) -> str:
    letters = run.group()
    pairs = [letters[at : at + 2] for at in range(len(letters) - 1)] or [letters]
    return f" {' '.join(pairs)} "


def _light_stem(word: re.Match[str]) -> str:
    """Stem an Arabic word by Light10 (Larkey, Ballesteros and Connell 2007), which needs no dictionary."""
    stem = _ARABIC_MARKS.sub("", word.group()).translate(_ARABIC_SPELLING)
    if stem.startswith(_AND) and len(stem) > 3:
        stem = stem[1:]
    prefix = next((affix for affix in _PREFIXES if stem.startswith(affix) and len(stem) - len(affix) >= 2), "")
    stem = stem.removeprefix(prefix)
    for suffix in _SUFFIXES:
        if stem.endswith(suffix) and len(stem) - len(suffix) >= 2:
            stem = stem.removesuffix(suffix)
    return stem

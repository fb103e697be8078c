"""The words of a text, in every script."""

import re

_DENSE = "\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_LONG = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_SPACED = re.compile(r"\S+")
_UNSPACED = re.compile(f"[{_DENSE}{_LONG}]")
# A word; without spaces, two characters of Chinese and Japanese or five of Thai, Lao, Burmese and Khmer count as one
_WORD = re.compile(rf"[{_DENSE}]{{1,2}}[^\w\s]*|[{_LONG}]{{1,5}}[^\w\s]*|[^\s{_DENSE}{_LONG}]+")


def word_count(text: str) -> int:
    """Return the number of words; in scripts without spaces, an equivalent number.

    >>> word_count("It runs, it prints."), word_count("保修期为两年。")
    (4, 3)
    """
    return len(find_words(text))


def find_words(text: str) -> list[re.Match[str]]:
    return list((_WORD if _UNSPACED.search(text) else _SPACED).finditer(text))

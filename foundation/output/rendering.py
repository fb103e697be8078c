"""Rendering of untrusted text, from documents, models and callers, on a terminal and in a store."""

import re
import unicodedata

# Escape sequences and direction marks, by which a text could repaint its surroundings, and invisible letters
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def plain(text: object) -> str:
    """Remove invisible characters and those that could repaint a terminal."""
    return _CONTROLS.sub("", str(text))


def encodable(text: str) -> str:
    """Make a text encodable: join surrogate pairs, and replace lone surrogates by a mark.

    >>> encodable("a\\ud83d\\ude00b"), encodable("a\\ud83db")
    ('a😀b', 'a�b')
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def one_line(text: object) -> str:
    """Apply `plain` and put the text on one line, so that a title or file name cannot pretend to be the next line.

    >>> one_line("Terms\\n[9]: javascript:alert(1)")
    'Terms [9]: javascript:alert(1)'
    """
    return " ".join(
        plain(unicodedata.normalize("NFC", str(text)).replace("\u2028", " ").replace("\u2029", " ")).split()
    )

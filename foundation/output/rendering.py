"""Rendering of untrusted text, from documents, models and callers, for Markdown and terminals. Pages escape HTML themselves."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

# Escape sequences and direction marks, by which a text could repaint its surroundings, and invisible letters; not tabs
# and newlines
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_MARKUP = (
    # What makes a link, a picture or the target of a reference of a pair of brackets. Backslashes of the text's own before it are
    # doubled, or the last of them would take ours away.
    (re.compile(r"(?<!\\)(\\*)\](?=[(:])"), r"\1\1\\]"),
    (re.compile(r"<(?=[A-Za-z/!?])"), "&lt;"),  # HTML, and a link in angle brackets; right in Markdown and in HTML
)
# Beginnings of addresses that some clients turn into links
_BARE = ((re.compile(r":(?=//)"), r"\\:"), (re.compile(r"(?i)\b(www)\.(?=\w)"), r"\1\\."))
_NAMES = frozenset({"title", "uri", "name", "filename"})


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


def markdown(text: object) -> str:
    """Escape a text for clients that render Markdown or HTML, so that it has no link, picture, reference or element of
    its own. Markers such as [1] and plain addresses stay.

    >>> markdown("See ![p](https://evil.example/p.png)<script>alert(1)</script> [1][2]")
    'See ![p\\\\](https://evil.example/p.png)&lt;script>alert(1)&lt;/script> [1][2]'
    """
    shown = plain(text)
    for markup, literal in _MARKUP:
        shown = markup.sub(literal, shown)
    return shown


def markdown_label(text: object) -> str:
    """Escape a title or an address for the same clients, on one line and without links.

    >>> markdown_label("T ![p](https://evil.example/p.png)")
    'T ![p\\\\](https\\\\://evil.example/p.png)'
    """
    shown = markdown(one_line(text))
    for address, literal in _BARE:
        shown = address.sub(literal, shown)
    return shown


def markdown_values(values: Any, name: str = "") -> Any:
    """Escape every text of a structure for the same clients; titles and names on one line."""
    if isinstance(values, Mapping):
        return {key: markdown_values(value, str(key)) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [markdown_values(value, name) for value in values]
    if not isinstance(values, str):
        return values
    return markdown(one_line(values) if name in _NAMES else values)

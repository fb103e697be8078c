"""Text of documents, models and callers, made harmless where it is shown: the one door to Markdown and terminals. HTML escapes itself."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Escape sequences and direction marks, by which a text could repaint its surroundings, and letters that nobody sees; tabs
and newlines stay."""
_MARKUP = (
    # What makes a link, a picture or the target of a reference of a pair of brackets. Backslashes of the text's own before it are
    # doubled, or the last of them would take ours away.
    (re.compile(r"(?<!\\)(\\*)\](?=[(:])"), r"\1\1\\]"),
    (re.compile(r"<(?=[A-Za-z/!?])"), "&lt;"),  # HTML, and a link in angle brackets; right in Markdown and in HTML
)
_BARE = ((re.compile(r":(?=//)"), r"\\:"), (re.compile(r"(?i)\b(www)\.(?=\w)"), r"\1\\."))
"""Addresses that some clients turn into links by themselves."""
_NAMES = frozenset({"title", "uri", "name", "filename"})


def plain(text: object) -> str:
    """Without what cannot be seen and could repaint a terminal."""
    return _CONTROLS.sub("", str(text))


def encodable(text: str) -> str:
    """The text as it can be stored and sent: halves of a character joined where both are there, and a mark where one is alone.

    >>> encodable("a\\ud83d\\ude00b"), encodable("a\\ud83db")
    ('a😀b', 'a�b')
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def one_line(text: object) -> str:
    """The same on one line: a title or a file name cannot pretend to be the next one.

    >>> one_line("Terms\\n[9]: javascript:alert(1)")
    'Terms [9]: javascript:alert(1)'
    """
    return " ".join(
        plain(unicodedata.normalize("NFC", str(text)).replace("\u2028", " ").replace("\u2029", " ")).split()
    )


def markdown(text: object) -> str:
    """For clients that read Markdown or HTML: no link, picture, reference or element of the text's own. Markers such as [1]
    and addresses that stand there to be read stay.

    >>> markdown("See ![p](https://evil.example/p.png)<script>alert(1)</script> [1][2]")
    'See ![p\\\\](https://evil.example/p.png)&lt;script>alert(1)&lt;/script> [1][2]'
    """
    shown = plain(text)
    for markup, literal in _MARKUP:
        shown = markup.sub(literal, shown)
    return shown


def markdown_label(text: object) -> str:
    """A title or an address for the same clients: on one line, and no link either.

    >>> markdown_label("T ![p](https://evil.example/p.png)")
    'T ![p\\\\](https\\\\://evil.example/p.png)'
    """
    shown = markdown(one_line(text))
    for address, literal in _BARE:
        shown = address.sub(literal, shown)
    return shown


def markdown_values(values: Any, name: str = "") -> Any:
    """Every text of a structure, for clients that show parts of it; titles and names on one line."""
    if isinstance(values, Mapping):
        return {key: markdown_values(value, str(key)) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [markdown_values(value, name) for value in values]
    if not isinstance(values, str):
        return values
    return markdown(one_line(values) if name in _NAMES else values)

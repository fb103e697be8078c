"""Rendering of untrusted text for clients that show Markdown or HTML. Pages escape HTML themselves."""

import re

from foundation.output.rendering import one_line, plain

_MARKUP = (
    # What makes a link, a picture or the target of a reference of a pair of brackets. Backslashes of the text's own before it are
    # doubled, or the last of them would take ours away.
    (re.compile(r"(?<!\\)(\\*)\](?=[(:])"), r"\1\1\\]"),
    (re.compile(r"<(?=[A-Za-z/!?])"), "&lt;"),  # HTML, and a link in angle brackets; right in Markdown and in HTML
)
# Beginnings of addresses that some clients turn into links
_BARE = ((re.compile(r":(?=//)"), r"\\:"), (re.compile(r"(?i)\b(www)\.(?=\w)"), r"\1\\."))


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

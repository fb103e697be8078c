"""The form of who is not signed in: plain HTML without a script, so that nothing of NiceGUI is served to strangers."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from pathlib import Path

_FORM = Path(__file__).with_name("sign_in.html").read_text(encoding="utf-8")
_STYLE = re.findall(r"<style>(.*?)</style>", _FORM, re.DOTALL)[0]
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

LONGEST = 16_000
"""Characters of what is given: a token carries the groups of its person."""

HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",  # with "no-referrer" a form would not say which site it comes from
    "Cache-Control": "no-store",
}


def form(refused: str, *, tokens: bool) -> str:
    """The page, with what is to be said about the last attempt, and whether a token is taken, too."""
    words = {"{credential}": "API key or token" if tokens else "API key", "{longest}": str(LONGEST)}
    text = _FORM
    for place, word in words.items():
        text = text.replace(place, word)
    return text.replace("{refused}", html.escape(refused))

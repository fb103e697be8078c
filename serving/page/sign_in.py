"""The form of who is not signed in: plain HTML without a script, so that nothing of NiceGUI is served to strangers."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from pathlib import Path

from serving.page.brand import colours, logo_address
from serving.settings import BrandSettings

_FORM = Path(__file__).with_name("sign_in.html").read_text(encoding="utf-8")

LONGEST = 16_000
"""Characters of what is given: a token carries the groups of its person."""


def form(refused: str, brand: BrandSettings, *, tokens: bool) -> str:
    """The page, with what is to be said about the last attempt, and whether a token is taken, too."""
    logo = logo_address(brand)
    words = {
        "{credential}": "API key or token" if tokens else "API key",
        "{longest}": str(LONGEST),
        "{colours}": colours(brand, dark="@media (prefers-color-scheme: dark) {{ :root {} }}"),
        "{logo}": f'<img src="{logo}" alt="">' if logo else "",
        "{name}": html.escape(brand.name),
        "{refused}": html.escape(refused),  # last: it may hold braces
    }
    text = _FORM
    for place, word in words.items():
        text = text.replace(place, word)
    return text


def headers(page: str) -> dict[str, str]:
    """Those of the page, whose policy admits its style alone."""
    style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'self'; "
            "frame-ancestors 'none'"
        ),
        "Referrer-Policy": "same-origin",  # with "no-referrer" a form would not say which site it comes from
        "Cache-Control": "no-store",
    }

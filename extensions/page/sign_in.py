"""The sign-in form, as plain HTML without scripts, so that strangers are served nothing of NiceGUI."""

import base64
import hashlib
import re
from pathlib import Path

import jinja2

from extensions.page.brand import Brand, colours, logo_address

_FORM = jinja2.Environment(autoescape=True).from_string(Path(__file__).with_name("sign_in.html").read_text("utf-8"))

# a token carries the groups of its person
LONGEST = 16_000


def form(refused: str, brand: Brand, *, tokens: bool, shared: str = "") -> str:
    """Return the form, with the error of the last attempt; `tokens`: whether tokens are accepted too; `shared`: what is opened then."""
    return _FORM.render(
        credential="API key or token" if tokens else "API key",
        longest=LONGEST,
        colours=colours(brand, dark="@media (prefers-color-scheme: dark) {{ :root {} }}"),
        logo=logo_address(brand),
        name=brand.name,
        refused=refused,
        shared=shared,
    )


def headers(page: str) -> dict[str, str]:
    """Return the page's headers; the policy allows its style only."""
    style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'self'; "
            "frame-ancestors 'none'"
        ),
        "Referrer-Policy": "same-origin",  # with "no-referrer" the form would not say which site it comes from
        "Cache-Control": "no-store",
    }

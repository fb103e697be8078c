"""One self-contained page to ask from: its own style and script, allowed by their hashes, and nothing from elsewhere.

Whatever a model or a document says is put into the page as text, never as HTML.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from pathlib import Path

FILE = Path(__file__).with_name("page.html")


@functools.cache
def load() -> tuple[str, str]:
    """The page, and the Content-Security-Policy that admits exactly its own style and script."""
    html = FILE.read_text(encoding="utf-8")
    script, style = (_hash(html, tag) for tag in ("script", "style"))
    policy = (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html, policy


def _hash(html: str, tag: str) -> str:
    found = re.search(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    assert found is not None, f"page.html has no <{tag}>"
    return f"'sha256-{base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()}'"

"""The pictures of the page that the documentation shows are there, and small."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
MOST_BYTES = 150_000


def test_every_picture_is_shown_somewhere_and_small() -> None:
    shown = {
        (page.parent / name).resolve()
        for page in (ROOT / "README.md", ROOT / "docs" / "extensions" / "page.md")
        for name in re.findall(r"[\w./-]+\.png", page.read_text(encoding="utf-8"))
    }
    taken = set(PICTURES.glob("page-*.png"))
    assert taken == shown
    assert {path.name: path.stat().st_size for path in taken if path.stat().st_size > MOST_BYTES} == {}

"""The pictures of the agents are what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.errors import InvalidRequest
from lab.release import pictures

PAGE = Path(__file__).parents[2] / "docs" / "agents.md"


def test_the_pages_pictures_are_those_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert pictures.drawn(page) == page, "Run: make pictures"


def test_a_picture_that_says_something_else_is_drawn_anew_and_the_words_stay() -> None:
    page = PAGE.read_text(encoding="utf-8")
    changed = page.replace("plan -.-> finish", "plan -.-> nowhere")
    assert changed != page
    assert pictures.drawn(changed) == page


def test_a_page_without_a_place_for_an_agents_picture_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"no agent.*graph"):
        pictures.drawn("# A page without pictures\n")

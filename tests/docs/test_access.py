"""The settings that the page docs/access.md shows are read."""

import re
from pathlib import Path

from serving.settings import load

PAGE = (Path(__file__).parents[2] / "docs" / "access.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_settings_that_the_page_shows_are_settings(tmp_path: Path) -> None:
    stack = tmp_path / "stack.toml"
    for block in blocks("toml"):
        stack.write_text(block, encoding="utf-8")
        assert load(stack).settings.serving

"""`sixply pictures`: how the agents join their steps, drawn from the code into a page of the documentation.

An agent has a picture where its file has a function `picture` that returns it as mermaid text, which GitHub and most
editors show as a drawing. The page keeps its words; only the block under a picture's mark is written anew.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from foundation.components import find_modules
from foundation.errors import InvalidRequest
from serving.cli import terminal

PORT = "orchestration.agent"
_BLOCK = re.compile(r"(<!-- picture: (\w+) -->\n```mermaid\n).*?(?=```\n)", re.DOTALL)


def pictures() -> dict[str, str]:
    """Agent -> its picture."""
    modules = {name: importlib.import_module(module) for name, module in find_modules(PORT).items()}
    return {name: module.picture() for name, module in modules.items() if hasattr(module, "picture")}


def drawn(page: str) -> str:
    """The page with every picture as the code has it now.

    Raises:
        InvalidRequest: an agent with a picture has no place in the page, or the page has a place for another one.
    """
    found, places = pictures(), [match[1] for match in _BLOCK.findall(page)]
    if sorted(places) != sorted(found):
        raise InvalidRequest(
            f"The page has places for the pictures of {', '.join(sorted(places)) or 'no agent'}; pictures are there of "
            f"{', '.join(sorted(found))}. A place is the line <!-- picture: NAME --> and a mermaid block under it."
        )
    return _BLOCK.sub(lambda match: match[1] + found[match[2]], page)


def draw(page: Path) -> None:
    """Raises:
    InvalidRequest: the page cannot be read, or as `drawn`.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The page {page} cannot be read: {error}. Name one with places for pictures.") from error
    terminal.write_text(page, drawn(text))

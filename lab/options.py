"""Options that several of the lab's commands take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from serving.cli.options import STACK, load_stack

if TYPE_CHECKING:
    from serving.settings import Loaded

Hashed = Annotated[
    Path | None, typer.Option("--stack", help="The configuration; else stack.toml with hashed vectors.", dir_okay=False)
]

HASHED: dict[str, object] = {"models": {"embedder": {"use": "hashing"}}}
"""Where meaning does not matter: an embedder that costs nothing."""


OBJECTS = Path("examples/support_desk/objects.json")


FOLLOW_UPS = Path("examples/support_desk/follow_ups.jsonl")


TunedPart = Literal["reranker", "embedder", "chat"]


def hashed_stack(stack: Path | None) -> Loaded:
    return load_stack(stack or STACK, HASHED if stack is None else None)


Data = Annotated[Path, typer.Argument(help="A folder in BEIR layout.", exists=True, file_okay=False)]

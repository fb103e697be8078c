"""The stack of tests that run a whole system: doubles in place of its two models, an index in memory, all else as a user
has it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

STACK = """
extensions = {extensions}
[foundation]
data_dir = "{data}"
threads = 1
[models.chat]
{chat}
[models.embedder]
use = "hashing"
[retrieval.vectors]
use = "memory"
[retrieval.grounding]
min_evidence = 0.0
answered_from = 0.0
"""


AGENT = """
[orchestration.agent]
without_tools = { use = "quoting", writes = false }
"""
"""What the double of a chat model would write is not worth reading."""
GRAPH = """
[orchestration.agent]
without_tools = "graph"
"""
"""For tests of a whole system that acts without a model: with `extensions=["planned_agent", "structured"]`."""
CLERK = 'use = "tests.doubles.strong:build"'
"""A chat model that calls the tool that is asked for."""


def stack(folder: Path, more: str = "", *, chat: str = 'use = "scripted"', extensions: Sequence[str] = ()) -> Path:
    """Its file in `folder`, where its data lie too; `more` are further sections, `chat` the chat model's lines."""
    path = folder / "stack.toml"
    head = STACK.format(data=folder / "var", chat=chat, extensions=json.dumps(extensions))
    agent = "" if "[orchestration.agent]" in more else AGENT
    path.write_text(head + agent + more, encoding="utf-8")
    return path

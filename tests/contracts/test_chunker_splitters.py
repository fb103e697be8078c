"""LangChain's text splitters keep the promises of a chunker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from foundation.components import Context, load
from foundation.settings import Part
from retrieval.contract import Chunker
from tests.contracts.chunker_checks import CHECKS

SECTION = "retrieval.chunker"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ["RecursiveCharacterTextSplitter", "MarkdownTextSplitter"])
def test_a_splitter_of_langchain(name: str, check: Callable[[Chunker], None], tmp_path: Path) -> None:
    part = Part.model_validate({"use": f"langchain_text_splitters:{name}", "chunk_size": 900, "chunk_overlap": 90})
    check(load(SECTION, part, Context(data_dir=tmp_path)))

"""The fixed windows, and LangChain's splitters as chunkers: overlap, headings, and exact spans whatever the text."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_text_splitters import TextSplitter

from foundation.components import Context, load
from foundation.errors import InvalidSetting
from foundation.settings import Part
from retrieval.contract import Chunker
from retrieval.documents import Chunk, Parsed, ParseLimits
from retrieval.ingest.parsing import parse_here

RECURSIVE = "langchain_text_splitters:RecursiveCharacterTextSplitter"
MANUAL = "# Manual\n\nFirst words here.\n\n## Care\n\nKeep dry and cool always.\n\n## Boots\n\nWax them twice a year."


class Shouting(TextSplitter):
    def split_text(self, text: str) -> list[str]:
        return [text.upper()]


class Skipping(TextSplitter):
    """Drops every second sentence, as one that filters might."""

    def split_text(self, text: str) -> list[str]:
        return text.split(". ")[::2]


def chunker(use: str, **options: Any) -> Chunker:
    made: Chunker = load(
        "retrieval.chunker", Part.model_validate({"use": use, **options}), Context(Path("unused")), expected=Chunker
    )
    return made


def parsed(text: str, name: str = "a.md") -> Parsed:
    return parse_here(text.encode(), name, ParseLimits())


def sound(document: Parsed, chunks: list[Chunk]) -> None:
    covered = {index for chunk in chunks for index in range(chunk.start, chunk.end)}
    told = {heading for chunk in chunks for heading in chunk.heading_path}
    for chunk in chunks:
        assert chunk.text == document.text[chunk.start : chunk.end]
    for block in document.blocks:
        words = document.text[block.start : block.end]
        assert words in told or all(
            at in covered for at in range(block.start, block.end) if not document.text[at].isspace()
        )


def test_windows_have_the_length_and_the_overlap_that_was_asked_for() -> None:
    document = parsed(" ".join(f"word{n}" for n in range(100)), "a.txt")
    chunks = chunker("fixed", window_words=30, overlap_words=10).chunk(document, "d")
    assert [len(chunk.text.split()) for chunk in chunks] == [30, 30, 30, 30, 20]
    for before, after in pairwise(chunks):
        assert before.text.split()[-10:] == after.text.split()[:10]


def test_a_window_stands_under_the_headings_where_it_begins() -> None:
    chunks = chunker("fixed", window_words=10, overlap_words=0).chunk(parsed(MANUAL), "d")
    assert [chunk.heading_path for chunk in chunks] == [("Manual",), ("Manual", "Care")]
    assert chunks[-1].text.endswith("Wax them twice a year.")


def test_scripts_without_spaces_count_by_the_character() -> None:
    chunks = chunker("fixed", window_words=50, overlap_words=0).chunk(parsed("保修期为两年" * 50, "a.txt"), "d")
    assert [len(chunk.text) for chunk in chunks] == [50] * 6


def test_options_that_would_never_end_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="overlap_words"):
        chunker("fixed", window_words=20, overlap_words=20)
    with pytest.raises(InvalidSetting, match="refused its options"):
        chunker(RECURSIVE, chunk_size=10, chunk_overlap=20)


def test_a_splitter_cuts_within_sections_and_keeps_their_headings() -> None:
    document = parsed(MANUAL)
    chunks = chunker(RECURSIVE, chunk_size=20, chunk_overlap=0).chunk(document, "d")
    assert {chunk.heading_path for chunk in chunks} == {("Manual",), ("Manual", "Care"), ("Manual", "Boots")}
    assert all(len(chunk.text) <= 20 for chunk in chunks)
    sound(document, chunks)


def test_the_version_names_the_splitter_and_its_options() -> None:
    one, two = chunker(RECURSIVE, chunk_size=500), chunker(RECURSIVE, chunk_size=600)
    assert RECURSIVE in one.version
    assert one.version != two.version


def test_a_splitter_that_writes_texts_anew_is_refused_and_one_that_drops_some_loses_none() -> None:
    document = parsed("One lamp. Two lamps. Three lamps. Four lamps.", "a.txt")
    with pytest.raises(InvalidSetting, match="writes its texts anew"):
        chunker(f"{__name__}:Shouting").chunk(document, "d")
    dropped = chunker(f"{__name__}:Skipping").chunk(document, "d")
    assert [chunk.text for chunk in dropped] == ["One lamp", ". Two lamps.", "Three lamps", ". Four lamps."]


@settings(deadline=None, max_examples=60)
@given(
    st.text(alphabet=st.sampled_from("ab \n.,保修#"), min_size=1, max_size=400).filter(str.strip),
    st.integers(10, 60),
    st.integers(0, 9),
    st.sampled_from([RECURSIVE, "langchain_text_splitters:CharacterTextSplitter"]),
)
def test_repetitive_texts_are_cited_exactly_and_completely(text: str, size: int, overlap: int, use: str) -> None:
    document = parsed(text, "a.txt")
    sound(document, chunker(use, chunk_size=size, chunk_overlap=overlap).chunk(document, "d"))
    window = chunker("fixed", window_words=size, overlap_words=overlap)
    sound(document, window.chunk(document, "d"))

"""The chunker `structure` cuts at headings, paragraphs and tables."""

from __future__ import annotations

from itertools import pairwise

import pytest
from pydantic import ValidationError

from retrieval.chunkers.structure import Options, StructureChunker
from retrieval.documents import Chunk, Parsed, ParseLimits
from retrieval.ingest.parsing import parse_here

LINE = "The carrier insures every parcel up to its declared value."


def cut(source: str, name: str = "a.md", **options: int) -> list[Chunk]:
    return StructureChunker(Options(**options)).chunk(parsed(source, name), "doc")


def parsed(source: str, name: str = "a.md") -> Parsed:
    return parse_here(source.encode(), name, ParseLimits())


def test_a_heading_opens_a_passage_and_its_path_is_kept() -> None:
    chunks = cut("# Fees\n\nIntro.\n\n## Abroad\n\nTen euros.\n\n### Islands\n\nTwelve.\n\n## Home\n\nFive.\n")

    assert [(chunk.heading_path, chunk.text) for chunk in chunks] == [
        (("Fees",), "Intro."),
        (("Fees", "Abroad"), "Ten euros."),
        (("Fees", "Abroad", "Islands"), "Twelve."),
        (("Fees", "Home"), "Five."),
    ]


def test_the_title_comes_first_where_no_heading_says_it() -> None:
    chunker = StructureChunker(Options())
    told = Parsed("Fees\n\nFive.", parsed("# Fees\n\nFive.\n").blocks, title="Fees")
    untold = Parsed("Fees\n\nFive.", parsed("# Fees\n\nFive.\n").blocks, title="Price list 2026")

    assert chunker.chunk(told, "doc")[0].heading_path == ("Fees",)
    assert chunker.chunk(untold, "doc")[0].heading_path == ("Price list 2026", "Fees")


def test_neighbours_under_one_heading_share_a_passage() -> None:
    assert len(cut("# Fees\n\nOne.\n\nTwo.\n\n- three\n- four\n")) == 1


def test_a_long_paragraph_is_cut_between_sentences_into_even_passages() -> None:
    chunks = cut(" ".join([LINE] * 24), target_characters=600)
    lengths = [len(chunk.text) for chunk in chunks]

    assert all(chunk.text.startswith("The carrier") and chunk.text.endswith("value.") for chunk in chunks)
    assert max(lengths) <= 600
    assert min(lengths) > max(lengths) / 2


def test_table_rows_are_not_cut() -> None:
    rows = "\n".join(f"{n},{LINE} {LINE}" for n in range(20))
    chunks = cut(f"Number,Note\n{rows}\n", "a.csv", target_characters=200)

    assert all(line.startswith("Number: ") for chunk in chunks for line in chunk.text.split("\n"))


def test_a_sentence_without_an_end_is_cut_at_words() -> None:
    chunks = cut("word " * 400, target_characters=300)

    assert max(len(chunk.text) for chunk in chunks) <= 300
    assert "".join(chunk.text for chunk in chunks).replace(" ", "") == "word" * 400


def test_a_script_without_spaces_is_cut_too() -> None:
    chunks = cut("字" * 1000, target_characters=300)

    assert "".join(chunk.text for chunk in chunks) == "字" * 1000


def test_a_passage_begins_with_the_last_sentences_of_the_one_before() -> None:
    text = " ".join(f"Sentence {n} is about parcels and boots." for n in range(30))
    chunks = cut(text, target_characters=400, overlap_sentences=1)

    assert len(chunks) > 2
    for before, after in pairwise(chunks):
        assert before.end > after.start
        assert before.text.endswith(text[after.start : before.end])


def test_a_heading_without_text_below_is_kept_as_text() -> None:
    chunks = cut("# Fees\n\nFive.\n\n## Appendix\n")

    assert [chunk.text for chunk in chunks] == ["Five.", "Appendix"]


def test_a_heading_above_another_is_not_repeated_as_text() -> None:
    assert [chunk.text for chunk in cut("# Fees\n\n## Home\n\nFive.\n")] == ["Five."]


def test_a_heading_of_monstrous_length_does_not_crowd_out_the_passage() -> None:
    assert max(len(part) for part in cut(f"# {LINE * 20}\n\nFive.\n")[0].heading_path) <= 120


def test_the_version_changes_with_every_option() -> None:
    versions = {
        StructureChunker(options).version
        for options in (
            Options(),
            Options(target_characters=800),
            Options(min_characters=100),
            Options(overlap_sentences=1),
        )
    }

    assert len(versions) == 4


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match="min_characters"):
        Options(target_characters=200, min_characters=300)

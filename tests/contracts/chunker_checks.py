"""What every chunker promises, as plain checks: the suite runs them on the real ones, and on broken ones to test itself."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from pathlib import PurePath

from retrieval.contract import Chunker
from retrieval.documents import Chunk, Parsed, ParseLimits
from retrieval.ingest.parsing import parse_here, supported_suffixes
from tests.contracts.parser_samples import SAMPLES

_PROSE = " ".join(f"Rule {n}: parcel {n} goes to the depot before noon, unless it rains." for n in range(150))
_TABLE = "\n".join(["Plan,Price,Note", *(f"Plan {n},{n} EUR,for {n} people in one house" for n in range(60))])
_TREE = "# Manual\n\nIntro.\n\n## Care\n\n- keep dry\n- keep cool\n\n### Boots\n\nWax them.\n\n## Hats\n"


def _documents() -> list[Parsed]:
    sources = {"prose.txt": _PROSE, "table.csv": _TABLE, "tree.md": _TREE, "one.txt": "x", "unspaced.txt": "字" * 5000}
    sources["spaced.txt"] = "He said “keep  it\tdry”, and\nthen: “dry”."
    contents = {name: text.encode() for name, text in sources.items()}
    read = supported_suffixes()  # whoever deletes a parser still has a suite for chunkers
    contents |= {f"a{suffix}": SAMPLES[suffix]() for suffix in (".docx", ".pdf", ".html", ".json") if suffix in read}
    return [
        parse_here(content, name, ParseLimits()) for name, content in contents.items() if PurePath(name).suffix in read
    ]


def _cut(chunker: Chunker) -> list[tuple[Parsed, list[Chunk]]]:
    return [(parsed, chunker.chunk(parsed, "document")) for parsed in _documents()]


def names_its_version(chunker: Chunker) -> None:
    assert isinstance(chunker, Chunker)
    assert chunker.version.strip()


def text_is_exactly_the_span(chunker: Chunker) -> None:
    for parsed, chunks in _cut(chunker):
        for chunk in chunks:
            assert chunk.text == parsed.text[chunk.start : chunk.end]
            assert chunk.text.strip()


def every_word_is_in_some_passage(chunker: Chunker) -> None:
    """A heading may be told by the heading path instead."""
    for parsed, chunks in _cut(chunker):
        covered = {index for chunk in chunks for index in range(chunk.start, chunk.end)}
        told = {heading for chunk in chunks for heading in chunk.heading_path}
        for block in parsed.blocks:
            lost = [i for i in range(block.start, block.end) if i not in covered and not parsed.text[i].isspace()]
            assert not lost or parsed.text[block.start : block.end] in told


def passages_are_in_order_and_numbered(chunker: Chunker) -> None:
    for _, chunks in _cut(chunker):
        assert [chunk.position for chunk in chunks] == list(range(len(chunks)))
        assert [chunk.start for chunk in chunks] == sorted(chunk.start for chunk in chunks)


def no_passage_lies_inside_another(chunker: Chunker) -> None:
    for _, chunks in _cut(chunker):
        for before, after in pairwise(chunks):
            assert before.end < after.end
            assert before.start < after.start


def passages_have_a_bounded_length(chunker: Chunker) -> None:
    """Long prose is cut: what an embedder does not read cannot be found."""
    for _, chunks in _cut(chunker):
        assert max(len(chunk.text) for chunk in chunks) <= 4_000


def heading_paths_come_from_the_document(chunker: Chunker) -> None:
    for parsed, chunks in _cut(chunker):
        for chunk in chunks:
            for heading in chunk.heading_path:
                assert heading in parsed.text or heading == parsed.title
    deepest = [c for _, chunks in _cut(chunker) for c in chunks if "Wax them." in c.text]
    assert any("Boots" in chunk.indexed_text for chunk in deepest)


def ids_are_unique_and_belong_to_the_document(chunker: Chunker) -> None:
    for parsed, chunks in _cut(chunker):
        other = chunker.chunk(parsed, "another document")
        ids = [chunk.chunk_id for chunk in (*chunks, *other)]
        assert len(ids) == len(set(ids))
        assert {chunk.document_id for chunk in chunks} == {"document"}


def the_same_document_gives_the_same_passages(chunker: Chunker) -> None:
    for parsed, chunks in _cut(chunker):
        assert chunker.chunk(parsed, "document") == chunks


def changed_text_gives_another_id(chunker: Chunker) -> None:
    old, new = (parse_here(text, "a.txt", ParseLimits()) for text in (b"Five euros.", b"Nine euros."))
    assert chunker.chunk(old, "document")[0].chunk_id != chunker.chunk(new, "document")[0].chunk_id


def pages_come_from_the_blocks(chunker: Chunker) -> None:
    parsed = parse_here(_PROSE.encode(), "a.txt", ParseLimits())
    of_third_page = replace(parsed, blocks=tuple(replace(block, page=3) for block in parsed.blocks))
    assert {chunk.page for chunk in chunker.chunk(of_third_page, "document")} == {3}


def the_document_is_left_as_it_was(chunker: Chunker) -> None:
    for parsed in _documents():
        before = deepcopy(parsed)
        chunker.chunk(parsed, "document")
        assert parsed == before


CHECKS: tuple[Callable[[Chunker], None], ...] = (
    names_its_version,
    text_is_exactly_the_span,
    every_word_is_in_some_passage,
    passages_are_in_order_and_numbered,
    no_passage_lies_inside_another,
    passages_have_a_bounded_length,
    heading_paths_come_from_the_document,
    ids_are_unique_and_belong_to_the_document,
    the_same_document_gives_the_same_passages,
    changed_text_gives_another_id,
    pages_come_from_the_blocks,
    the_document_is_left_as_it_was,
)

"""Sections of a document under their headings, for all chunkers."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from retrieval.documents import Block, Chunk, Parsed, chunk_id

# Most characters of a heading, which is repeated before every passage; some paragraphs are set as headings
_HEADING_CHARACTERS = 120


@dataclass
class Section:
    """A heading's path and the blocks under it, up to the next heading."""

    path: tuple[str, ...]
    heading: Block | None = None
    blocks: list[Block] = field(default_factory=list)


def sections(parsed: Parsed) -> list[Section]:
    """Return the sections with text. A heading without text below is kept as text, so that no word is lost."""
    title = (parsed.title or "").strip()
    open_headings: list[tuple[int, str]] = []
    result = [Section(_path(title, []))]
    for block in parsed.blocks:
        if block.kind != "heading":
            result[-1].blocks.append(block)
            continue
        open_headings = [(level, words) for level, words in open_headings if level < block.level]
        _keep_lonely(result[-1], deeper=bool(open_headings) and result[-1].path == _path(title, open_headings))
        open_headings.append((block.level, parsed.text[block.start : block.end]))
        result.append(Section(_path(title, open_headings), block))
    _keep_lonely(result[-1], deeper=False)
    return [section for section in result if section.blocks]


def passage(parsed: Parsed, document_id: str, position: int, path: tuple[str, ...], span: tuple[int, int]) -> Chunk:
    """Return the chunk of `parsed.text[span[0]:span[1]]`."""
    start, end = span
    text = parsed.text[start:end]
    at = bisect_right(parsed.blocks, start, key=lambda block: block.end)
    return Chunk(
        chunk_id=chunk_id(document_id, position, text),
        document_id=document_id,
        position=position,
        text=text,
        start=start,
        end=end,
        heading_path=path,
        page=parsed.blocks[at].page if at < len(parsed.blocks) else None,
    )


def _keep_lonely(section: Section, *, deeper: bool) -> None:
    if section.heading is not None and not section.blocks and not deeper:
        section.blocks.append(section.heading)


def _path(title: str, headings: Sequence[tuple[int, str]]) -> tuple[str, ...]:
    words = [words for _, words in headings]
    names_title = any(title.casefold() in heading.casefold() for heading in words)
    return tuple(part[:_HEADING_CHARACTERS] for part in ([*words] if names_title or not title else [title, *words]))

"""LangChain's text splitters as chunkers: `use = "langchain_text_splitters:RecursiveCharacterTextSplitter"`.

A splitter returns texts and a citation needs spans, so each text is searched in its section. A splitter that changes
texts (lower case, decoded tokens) is refused, since its passages could not be cited.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from foundation.errors import InvalidSetting
from foundation.settings import Part
from foundation.text.sentences import trim_span
from retrieval.documents import Chunk, Parsed
from retrieval.text.sections import passage, sections

if TYPE_CHECKING:
    from langchain_text_splitters import TextSplitter

Span = tuple[int, int]


class SplitterChunker:
    """A `Chunker` that cuts each section of a document with a LangChain splitter."""

    def __init__(self, splitter: TextSplitter, part: Part) -> None:
        self._splitter, self._use = splitter, part.use
        options = json.dumps(part.options, sort_keys=True, default=str)
        self.version = f"{part.use} {options} of {version('langchain-text-splitters')}"

    def chunk(self, parsed: Parsed, document_id: str) -> list[Chunk]:
        """Raises InvalidSetting: the splitter changes the text."""
        chunks: list[Chunk] = []
        for section in sections(parsed):
            first, last = section.blocks[0].start, section.blocks[-1].end
            for start, end in self._spans(parsed.text[first:last]):
                span = first + start, first + end
                chunks.append(passage(parsed, document_id, len(chunks), section.path, span))
        return chunks

    def _spans(self, text: str) -> list[Span]:
        spans: list[Span] = []
        for piece in self._splitter.split_text(text):
            words = piece.strip()
            # Repeated text would be found too early if the search began at the start
            at = text.find(words, self._earliest(spans[-1] if spans else None))
            if at < 0:
                raise InvalidSetting(
                    f'[retrieval.chunker] use = "{self._use}" writes its texts anew ("{words[:40]}" does not stand in the '
                    f"document), so that nothing could be cited exactly. Name a splitter that cuts without changing."
                )
            if words and (not spans or at + len(words) > spans[-1][1]):
                spans.append((at, at + len(words)))
        return sorted([*spans, *_left_out(text, spans)])

    def _earliest(self, before: Span | None) -> int:
        if before is None:
            return 0
        by_characters = getattr(self._splitter, "_length_function", None) is len
        overlap = int(getattr(self._splitter, "_chunk_overlap", 0)) if by_characters else before[1] - before[0]
        return max(before[0] + 1, before[1] - overlap)


def _left_out(text: str, spans: Sequence[Span]) -> Iterator[Span]:
    # A splitter may drop its separators
    end = 0
    for start, stop in [*spans, (len(text), len(text))]:
        if text[end:start].strip():
            yield trim_span(text, end, start)
        end = max(end, stop)


def adopt(built: Any, part: Part) -> Any:
    """Return `built`, wrapped as a chunker if it is a splitter."""
    from langchain_text_splitters import TextSplitter

    return SplitterChunker(built, part) if isinstance(built, TextSplitter) else built

"""Shared by all parsers: decoding of bytes, cleaning of text, and the draft that becomes a `Parsed`.

A block other than code has no line breaks, and between two blocks there always is one: a border in every format. Before it
stand as many form feeds as pages end there.
"""

import codecs
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from foundation.errors import DocumentRefused
from retrieval.documents import PAGE_BREAK, Block, Parsed, ParseLimits, Table
from retrieval.text.encodings import decode_latin, decode_shifts, decode_unmarked

# Raise it when the output changes: it is part of the version of each parser that uses this file
TEXT_VERSION = 1
BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: its mark begins with the same two bytes
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])|\x9b[0-?]*[ -/]*[@-~]")
_LINE_ENDS = re.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # control characters
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f"  # soft hyphen, fillers, marks
    r"\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"  # direction overrides, joiners, variants
    r"\U000e0000-\U000e0fff"  # tags and variation selectors, in which whole messages can be hidden
    r"\ud800-\udfff]"  # lone surrogates, which no encoder accepts
)
# Between letters of Arabic and Indic scripts a joiner is spelling; anywhere else it only hides something.
_JOINERS = re.compile(r"(?<![\u0600-\u0dff])[\u200c\u200d]|[\u200c\u200d](?![\u0600-\u0dff])")
_LIGATURES = str.maketrans(
    {"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl", "\xa0": " "}
)
_NUMBER = re.compile(r"\s*[-+\u2212]?\d+\s*", re.ASCII)
_RAISED = str.maketrans(
    "0123456789+-\u2212", "\u2070\xb9\xb2\xb3\u2074\u2075\u2076\u2077\u2078\u2079\u207a\u207b\u207b"
)
# Characters that are rare in text. Joiners and variation selectors are left out, since lines of emoji have many.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f\ufffd\ud800-\udfff]")
_PRINTABLE_ASCII = re.compile(r"[\n\t\x20-\x7e]*")


def clean(text: str) -> str:
    """Remove invisible characters; normalise to Unicode form C, and line ends to a newline."""
    # Most text is; this is ten times as fast
    if _PRINTABLE_ASCII.fullmatch(text):
        return text
    # Invisible characters let a document say one thing to a person and another to a program
    text = _LINE_ENDS.sub("\n", _ANSI.sub("", text))
    text = _JOINERS.sub("", _INVISIBLE.sub("", text))
    return unicodedata.normalize("NFC", text.translate(_LIGATURES))


def decode(content: bytes, name: str) -> str:
    """Decode a text file of any usual encoding. Raises DocumentRefused: "binary"."""
    for mark, encoding in BOMS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, errors="replace")
    try:
        wide = b"\0" in content
        text = decode_unmarked(content) if wide else decode_shifts(content) or content.decode("utf-8")
    except UnicodeDecodeError:
        text = _guess(content)
    if text is None or len(_UNPRINTABLE.findall(text, 0, 20_000)) > max(4, min(len(text), 20_000) / 10):
        raise DocumentRefused(
            f'"{name}" is not text: it holds binary data. Send it under the suffix of its real format.', reason="binary"
        )
    return text


def raise_number(text: str) -> str:
    """Return raised digits as characters, since 10<sup>6</sup> is not 106; other text as it is."""
    return text.translate(_RAISED) if _NUMBER.fullmatch(text) else text


def _guess(content: bytes) -> str | None:
    from charset_normalizer import from_bytes

    replaced = content.decode("utf-8", errors="replace")
    damaged = replaced.count("\ufffd")
    if damaged <= len(replaced) - len(replaced.encode("ascii", errors="ignore")) - damaged:
        return replaced  # cut in the middle of a letter, say
    latin = decode_latin(content)
    best = from_bytes(content).best() if latin is None else latin
    return None if best is None else str(best)


class Draft:
    """A document under construction: blocks are added in reading order, and `finish` returns the `Parsed`."""

    def __init__(self, name: str, limits: ParseLimits) -> None:
        self.name = name
        self.limits = limits
        self._parts: list[str] = []
        self._blocks: list[Block] = []
        self._tables: list[Table] = []
        self._parsers: set[str] = set()
        self._end = 0

    def count_pages(self, pages: int, what: str) -> None:
        """Raises DocumentRefused: "too_many_pages"."""
        if pages > self.limits.pages:
            raise DocumentRefused(
                f'"{self.name}" has {pages} {what}, more than {self.limits.pages}. Split it, or raise '
                f"retrieval.parsing.max_pages.",
                reason="too_many_pages",
            )

    def add(self, kind: str, text: str, *, level: int = 0, page: int | None = None) -> None:
        """Append a block with collapsed white space, except in code, unless it is empty. Raises DocumentRefused."""
        text = clean(text)
        text = text.strip("\n").rstrip() if kind == "code" else " ".join(text.split())
        if not text.strip():
            return
        listed = bool(self._blocks) and kind == self._blocks[-1].kind and kind in ("item", "row")
        gap = "\n" if listed else "\n\n" if self._blocks else ""
        before = self._blocks[-1].page if self._blocks else None
        gap = PAGE_BREAK * ((page or 0) - before) + gap if before else gap  # so that each span knows its page
        start = self._end + len(gap)
        self._end = start + len(text)
        too_much = ""
        if self._end > self.limits.characters:
            too_much = f"{self.limits.characters:,} characters of text. Split it, or raise retrieval.parsing.max_pages."
        elif len(self._blocks) >= self.limits.blocks:
            too_much = f"{self.limits.blocks:,} paragraphs and rows. Split it."
        if too_much:
            raise DocumentRefused(f'"{self.name}" holds more than {too_much}', reason="too_large")
        self._parts += (gap, text)
        self._blocks.append(Block(kind=kind, start=start, end=self._end, level=level, page=page))

    def table(self, rows: Sequence[Sequence[str]], *, header: bool, page: int | None = None) -> None:
        """Append each row with its column names, `header` if the first row has them: "Plan: Basic; Price: 9 EUR"."""
        filled = [[clean(cell) for cell in row] for row in filled_rows(rows)]
        names, body = (filled[0], filled[1:]) if header and len(filled) > 1 else ([], filled)
        kind = "row" if max(map(len, filled), default=0) > 1 else "paragraph"  # a single column is page layout
        first = len(self._blocks)
        for row in body:
            self.add(kind, row_text(row, names), page=page)
        if kind == "row" and len(self._blocks) - first == len(body):
            self._tables.append(Table(first, tuple(names), tuple(tuple(map(len, row)) for row in body)))

    def include(self, parsed: Parsed, *, below: int) -> None:
        """Append another document, such as an attachment, under a heading of level `below`."""
        first = len(self._blocks)
        for block in parsed.blocks:
            level = min(block.level + below, 6) if block.level else 0
            self.add(block.kind, parsed.text[block.start : block.end], level=level, page=block.page)
        self._tables += [replace(table, first=first + table.first) for table in parsed.tables]
        self._parsers.update(parsed.parsers)

    def has_heading(self, *, level: int) -> bool:
        return any(block.level == level for block in self._blocks)

    def finish(self, *, title: str | None = None, pages: int | None = None) -> Parsed:
        """Return the parsed document. Raises DocumentRefused: reason "empty": no block was added."""
        if not self._blocks:
            raise DocumentRefused(
                f'"{self.name}" contains no text. If it is a scan, recognise its text first and send that.',
                reason="empty",
            )
        text, heading = "".join(self._parts), " ".join(clean(title or "").split())
        first = next((text[block.start : block.end] for block in self._blocks if block.level == 1), None)
        parsers = tuple(sorted(self._parsers))
        return Parsed(text, tuple(self._blocks), heading or first, pages, parsers, tuple(self._tables))


@dataclass(frozen=True, slots=True)
class FormatParser:
    """A `Parser` from a function that reads bytes into a draft."""

    suffixes: tuple[str, ...]
    version: str
    read: Callable[[Draft, bytes], Parsed]
    limits: ParseLimits

    def parse(self, content: bytes, name: str) -> Parsed:
        return self.read(Draft(name, self.limits), content)


def filled_rows(rows: Iterable[Sequence[str]]) -> list[list[str]]:
    return [[" ".join(cell.split()) for cell in row] for row in rows if any(cell.strip() for cell in row)]


def row_text(row: Sequence[str], names: Sequence[str]) -> str:
    """Return a table row as a line that can be understood alone.

    >>> row_text(["Basic", "", "9 EUR"], ["Plan", "Seats", "Price"])
    'Plan: Basic; Price: 9 EUR'
    """
    if not names:
        return " | ".join(cell for cell in row if cell)
    labels = [*names, *[""] * (len(row) - len(names))]
    return "; ".join(f"{label}: {cell}" if label else cell for label, cell in zip(labels, row, strict=False) if cell)


def cell_spans(names: Sequence[str], widths: Sequence[int]) -> list[tuple[int, int]]:
    """Return where the cells of these widths stand in the line that `row_text` made of them.

    >>> [slice(*span) for span in cell_spans(["Plan", "Seats", "Price"], [5, 0, 5])][2]
    slice(20, 25, None)
    """
    spans, at = list[tuple[int, int]](), 0
    for place, width in enumerate(widths):
        name = names[place] if place < len(names) else ""
        at += len(f"{name}: ") if width and name else 0
        spans.append((at, at + width))
        at += width + (len("; " if names else " | ") if width else 0)
    return spans

"""Shared by all parsers: decoding of bytes, cleaning of text, and the draft that becomes a `Parsed`.

A block other than code has no line breaks, and between two blocks there always is one: a border in every format.
"""

from __future__ import annotations

import codecs
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from foundation.errors import DocumentRefused
from retrieval.contract import Block, Parsed, ParseLimits

# Raise it when the output changes: it is part of the version of each parser that uses this file
TEXT_VERSION = 0
_BOMS = (
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


_MARKS = frozenset("¡¿“”„‘’‚–—…«»‹›€°§£©®™·•²³ºª\xa0")  # noqa: RUF001 - these are meant
# The letters besides ASCII of languages in Latin script, with the encodings in use for them
_ALPHABETS = tuple(
    (frozenset(letters + letters.upper()) | _MARKS, encodings)
    for letters, encodings in (
        ("äöüßàâçéèêëîïôùûœñáíóúå", ("cp1252",)),  # German, French, Spanish, Swedish
        ("àèéìòùîü", ("cp1252",)),  # Italian
        ("áâãàçéêíóôõúü", ("cp1252",)),  # Portuguese
        ("æøåéäöðþáíóúý", ("cp1252",)),  # Danish, Norwegian, Icelandic
        ("ąćęłńóśźż", ("cp1250", "iso8859-2")),  # Polish
        ("áäčďéěíĺľňóôŕřšťúůýžöü", ("cp1250", "iso8859-2")),  # Czech, Slovak
        ("áéíóöőúüű", ("cp1250", "iso8859-2")),  # Hungarian
        ("čćđšž", ("cp1250", "iso8859-2")),  # Croatian, Slovene
        ("ăâîşţ", ("cp1250", "iso8859-2")),  # Romanian
        ("çğıöşüâîûİ", ("cp1254",)),  # Turkish
        ("ąčęėįšųūžāēģīķļņõäöü", ("cp1257",)),  # Lithuanian, Latvian, Estonian
        ("äöüßàâçéèêëîïôùûñáíóúå", ("cp850",)),  # the first, as DOS wrote them
        ("äöüßàâãçéèêëîïôõœùûñáíóúåæø", ("mac_roman",)),  # the western ones, as a Macintosh did
    )
)
_LETTER = "[^\\W\\d_¹²³]"
# Marks in places where only a wrong encoding puts them: Polish "ł", "ż" and "Ł" read as western "³", "¿" and "£", or
# "ö" and "ä" of DOS as quotation marks.
_MISPLACED = re.compile(
    r"[¡¿“”„‚«‹»›€°§£©®™²³ºª](?:"  # noqa: RUF001 - these are meant; first, as a search for one of a set is fast
    rf"(?<={_LETTER}.)(?={_LETTER})"
    rf"|(?<=[²³®ºª])(?={_LETTER})"
    rf"|(?<={_LETTER}{{3}}[ºª])"
    rf"|(?<={_LETTER}[²³])(?<!\b[A-Ya-y].)(?<!\b[cdhkmnNS]m.)(?<!\bft.)(?<!\bin.)"  # they follow units only
    rf"|(?<=£)(?!(?:[km]|bn)\b)(?={_LETTER})"
    r"|(?<=¿)(?!(?:(?![.!?]\s)[^¿]){1,300}\?))"
)
_ASCII = bytes(range(128))
_ASCII_LETTERS = string.ascii_letters.encode()
# Share of the non-ASCII letters that must be of one alphabet; the rest are foreign names
_FITS = 0.98
_SAID_AND_MEANT = {
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}


def decode(content: bytes, name: str, declared: str = "") -> str:
    """Decode a text file of any usual encoding; `declared` is that of a page or mail, which is often unknown or wrong.

    Raises DocumentRefused: reason "binary": it is no text.
    """
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, errors="replace")
    if declared:
        # By its superset, as in browsers (WHATWG, Encoding Standard)
        with suppress(LookupError, UnicodeError, ValueError):
            codec = codecs.lookup(declared).name
            return content.decode(_SAID_AND_MEANT.get(codec, codec))
    if b"\0" in content:
        return _without_mark(content, name)
    try:
        text = _by_shifts(content) or content.decode("utf-8")
    except UnicodeDecodeError:
        text = _guess(content, name)
    return _text_or_refuse(text, name)


def _without_mark(content: bytes, name: str) -> str:
    """Decode UTF-16 or UTF-32 without a byte order mark: in the right encoding, all characters are readable and of
    few Unicode blocks. Any other file with zeros is binary.
    """
    sample = content[:4096]
    blocks_by_encoding: dict[str, int] = {}
    for encoding in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"):
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(sample)  # the sample may end within a character
        except UnicodeDecodeError:
            continue
        readable = sum(letter in "\n\r\t" or unicodedata.category(letter)[0] in "LMNPSZ" for letter in text)
        if "\0" not in text and text and readable >= _FITS * len(text) and any(map(str.isascii, text)):
            blocks_by_encoding[encoding] = len({ord(letter) >> 8 for letter in text})
    if not blocks_by_encoding:
        raise _binary(name)
    return _text_or_refuse(content.decode(min(blocks_by_encoding, key=blocks_by_encoding.__getitem__), "replace"), name)


def _guess(content: bytes, name: str) -> str:
    from charset_normalizer import from_bytes

    replaced = content.decode("utf-8", errors="replace")
    damaged = replaced.count("\ufffd")
    if damaged <= len(replaced) - len(replaced.encode("ascii", errors="ignore")) - damaged:
        return replaced  # cut in the middle of a letter, say
    if (latin := _latin(content)) is not None:
        return latin
    best = from_bytes(content).best()
    if best is None:
        raise _binary(name)
    return str(best)


def _latin(content: bytes) -> str | None:
    """Decode text of a language in Latin script: mostly ASCII letters, and no others than those of its alphabet; `None`
    if it is none. Where several encodings fit, the one with the fewest misplaced marks is used.
    """
    # guesses by frequency mistake French for Baltic and Polish for French; all encodings have one byte per letter
    counts = Counter(content.translate(None, _ASCII))
    plain = len(content) - len(content.translate(None, _ASCII_LETTERS))
    misplaced: dict[str, int] = {}
    best, encoding_found = -1, None
    for alphabet, encodings in _ALPHABETS:
        for encoding in encodings:
            try:
                foreign = dict(zip(bytes(counts).decode(encoding), counts.values(), strict=True))
            except UnicodeDecodeError:
                continue
            fits = sum(count for letter, count in foreign.items() if letter in alphabet)
            letters = sum(count for letter, count in foreign.items() if letter.isalpha() and letter not in _MARKS)
            if fits < _FITS * counts.total() or 2 * letters > plain:
                continue
            if encoding not in misplaced:
                misplaced[encoding] = len(_MISPLACED.findall(content.decode(encoding)))
            if fits - misplaced[encoding] > best:
                best, encoding_found = fits - misplaced[encoding], encoding
    return None if encoding_found is None else content.decode(encoding_found)


def _by_shifts(content: bytes) -> str | None:
    """Decode Japanese, Chinese or Korean in seven bits with escape sequences, as in mails; `None` if it is none."""
    if b"\x1b$" not in content or not content.isascii():
        return None
    for encoding in ("iso2022_kr",) if b"\x1b$)C" in content else ("iso2022_jp_2", "iso2022_jp_3"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def _text_or_refuse(text: str, name: str) -> str:
    if len(_UNPRINTABLE.findall(text, 0, 20_000)) > max(4, min(len(text), 20_000) / 10):
        raise _binary(name)
    return text


def _binary(name: str) -> DocumentRefused:
    return DocumentRefused(
        f'"{name}" is not text: it holds binary data. Send it under the suffix of its real format.', reason="binary"
    )


def whole_number(text: str | None) -> int:
    """Return the number; 0 where the text is none, or too large for a position."""
    return int(text) if text and len(text) < 10 and text.isdecimal() else 0


class Draft:
    """A document under construction: blocks are added in reading order, and `finish` returns the `Parsed`."""

    def __init__(self, name: str, limits: ParseLimits) -> None:
        self.name = name
        self.limits = limits
        self._parts: list[str] = []
        self._blocks: list[Block] = []
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
        """Append a block. White space is collapsed, except in code; a block without text is left out. Raises
        DocumentRefused: "too_large", as soon as the text outgrows its limit.
        """
        text = clean(text)
        text = text.strip("\n").rstrip() if kind == "code" else " ".join(text.split())
        if not text.strip():
            return
        listed = bool(self._blocks) and kind == self._blocks[-1].kind and kind in ("item", "row")
        gap = "\n" if listed else "\n\n" if self._blocks else ""
        start = self._end + len(gap)
        self._end = start + len(text)
        too_much = ""
        if self._end > self.limits.characters:
            too_much = (
                f"{self.limits.characters:,} characters of text. Split it, or raise retrieval.parsing.max_characters."
            )
        elif len(self._blocks) >= self.limits.blocks:
            too_much = f"{self.limits.blocks:,} paragraphs and rows. Split it."
        if too_much:
            raise DocumentRefused(f'"{self.name}" holds more than {too_much}', reason="too_large")
        self._parts += (gap, text)
        self._blocks.append(Block(kind=kind, start=start, end=self._end, level=level, page=page))

    def table(self, rows: Sequence[Sequence[str]], *, header: bool | None = None, page: int | None = None) -> None:
        """Append a table of ragged rows, each as a block with its column names ("Plan: Basic; Price: 9 EUR"), so that it
        can be understood alone. `header`: whether the first row has these names; `None`: decided by its looks.
        """
        filled = [[" ".join(cell.split()) for cell in row] for row in rows if any(cell.strip() for cell in row)]
        if not filled:
            return
        if header is None:
            # In doubt no: a wrong name makes a row false, a missing one only terse
            header = looks_like_header(filled) and (len(filled[0]) > 2 or _has_figures(filled[1:]))
        names, body = (filled[0], filled[1:]) if header and len(filled) > 1 else ([], filled)
        kind = "row" if max(len(row) for row in filled) > 1 else "paragraph"  # a single column is page layout
        for row in body:
            self.add(kind, row_text(row, names), page=page)

    def sheet(self, rows: Iterable[Sequence[str]], *, page: int | None = None) -> None:
        """Append the tables of a sheet, separated by blank rows, with the captions above them. Raises DocumentRefused:
        reason "too_large": there are too many rows.
        """
        table: list[list[str]] = []
        for row in rows:
            if any(cell.strip() for cell in row):
                table.append([cell.strip() for cell in row])
            elif table:
                self._add_captioned(table, page)
                table = []
            if len(table) > self.limits.blocks:
                break  # `add` counts them, and refuses
        self._add_captioned(table, page)

    def _add_captioned(self, table: list[list[str]], page: int | None) -> None:
        while table and _is_caption(table):
            self.add("paragraph", next(cell for cell in table.pop(0) if cell), page=page)
        cells = _without_empty_columns(table)
        self.table(cells, header=looks_like_header(cells), page=page)

    def include(self, parsed: Parsed, *, below: int) -> None:
        """Append another document, such as an attachment, under a heading of level `below`."""
        for block in parsed.blocks:
            level = min(block.level + below, 6) if block.level else 0
            self.add(block.kind, parsed.text[block.start : block.end], level=level, page=block.page)
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
        return Parsed(text, tuple(self._blocks), title=heading or first, pages=pages, parsers=parsers)


@dataclass(frozen=True, slots=True)
class FormatParser:
    """A `Parser` from a function that reads bytes into a draft."""

    suffixes: tuple[str, ...]
    version: str
    read: Callable[[Draft, bytes], Parsed]
    limits: ParseLimits

    def parse(self, content: bytes, name: str) -> Parsed:
        return self.read(Draft(name, self.limits), content)


def row_text(row: Sequence[str], names: Sequence[str]) -> str:
    """Return a table row as a line that can be understood alone.

    >>> row_text(["Basic", "", "9 EUR"], ["Plan", "Seats", "Price"])
    'Plan: Basic; Price: 9 EUR'
    """
    if not names:
        return " | ".join(cell for cell in row if cell)
    labels = [*names, *[""] * (len(row) - len(names))]
    return "; ".join(f"{label}: {cell}" if label else cell for label, cell in zip(labels, row, strict=False) if cell)


def looks_like_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row looks like column names: short, distinct, without figures, with rows below."""
    first = [cell for cell in rows[0] if cell] if rows else []
    return (
        len(rows) > 1
        and len(rows[0]) > 1
        and len(first) >= (len(rows[0]) + 1) // 2
        and len(set(first)) == len(first)
        and not any(re.match(r"[\W\d]*\d", cell) or len(cell) > 60 or cell.endswith(".") for cell in first)
    )


def _is_caption(rows: Sequence[Sequence[str]]) -> bool:
    widest = max(len([cell for cell in row if cell]) for row in rows[:20])
    return widest > 1 and sum(bool(cell) for cell in rows[0]) == 1 and len(rows) > 1


def _without_empty_columns(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    # Only the first row, which may have the names, is padded: a single wide row would otherwise pad all others
    used_columns = {column for row in rows for column, cell in enumerate(row) if cell}
    rows_cut = [[cell for column, cell in enumerate(row) if column in used_columns] for row in rows]
    if rows_cut:
        rows_cut[0] += [""] * (len(used_columns) - len(rows_cut[0]))
    return rows_cut


def _has_figures(body: Sequence[Sequence[str]]) -> bool:
    filled = Counter(column for row in body for column, cell in enumerate(row) if cell)
    figures = Counter(column for row in body for column, cell in enumerate(row) if re.search(r"\d", cell))
    return any(figures[column] > count / 2 for column, count in filled.items())

"""Plain text: paragraphs between blank lines, list items, and headings that are underlined or in capitals."""

import re
from pathlib import PurePath

from retrieval.documents import Parsed, ParseLimits
from retrieval.formats.text_blocks import TEXT_VERSION, Draft, FormatParser, clean, decode

_ITEM = re.compile(r"\s*(?:[-*•‣▪◦–]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+(?=\S)")
# Three of the second kind are a fence of code
_UNDERLINE = re.compile(r"\s*(?:([=\-~^#*])\1{2,}|([\"'`+])\2{3,})\s*")


def build(limits: ParseLimits) -> FormatParser:
    return FormatParser((".txt", ".log", ".text"), f"text {6 + TEXT_VERSION}", _parse, limits)


def _parse(draft: Draft, content: bytes) -> Parsed:
    """Parse a text. In `.log` every line is a paragraph; otherwise lines that were wrapped at a margin are joined."""
    log, text = PurePath(draft.name).suffix.lower() == ".log", clean(decode(content, draft.name))
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.split("\n") if line.strip()]
        if log:
            for line in lines:
                draft.add("paragraph", line)
        else:
            _add(draft, lines)
    return draft.finish()


def _add(draft: Draft, lines: list[str]) -> None:
    if len(lines) > 2 and lines[0] == lines[2] and _UNDERLINE.fullmatch(lines[0]) and len(lines[1]) <= len(lines[0]):
        lines = lines[1:]  # a line above the title, too
    if level := _heading_level(lines):
        draft.add("heading", lines[0], level=level)
        lines = lines[1:]
        if lines and _UNDERLINE.fullmatch(lines[0]):
            lines = lines[1:]
    if any(_ITEM.match(line) for line in lines):
        _add_items(draft, lines)
    else:
        for paragraph in [" ".join(lines)] if _is_wrapped(lines) else lines:
            draft.add("paragraph", paragraph)


def _add_items(draft: Draft, lines: list[str]) -> None:
    """Add a list. An indented line without a bullet continues the item above; others stand alone."""
    kind, current = "paragraph", list[str]()
    for line in lines:
        bullet = _ITEM.match(line)
        if current and not bullet and (kind == "paragraph" or line[:1].isspace()):
            current.append(line)
            continue
        draft.add(kind, " ".join(current))
        kind = "item" if bullet else "paragraph"
        current = [words] if (words := re.sub(r"^\s*[-*•‣▪◦–]\s+", "", line)) else []
    draft.add(kind, " ".join(current))


def _heading_level(lines: list[str]) -> int:
    if not lines or len(lines[0].strip()) > 80:
        return 0
    under = _UNDERLINE.fullmatch(lines[1]) if len(lines) > 1 else None
    if under and (under[1] or len(lines[0].strip()) <= len(under[0].strip())):
        return 1 if under[1] == "=" else 2
    capitals = lines[0].isupper() and sum(c.isalpha() for c in lines[0]) > 3
    return 2 if len(lines) == 1 and capitals and not _ITEM.match(lines[0]) else 0


def _is_wrapped(lines: list[str]) -> bool:
    if len(lines) < 2:
        return True
    lengths = [len(line) for line in lines[:-1]]
    width = max(len(line) for line in lines)
    finished = sum(line.rstrip().endswith((".", "!", "?", ":", ";")) for line in lines[:-1])
    return 40 <= width <= 200 and sum(lengths) / len(lengths) > 0.6 * width and finished <= len(lengths) / 2

"""Rich Text Format: paragraphs and the rows of tables; its headings are paragraphs, since only their looks tell them."""

from itertools import groupby

from foundation.errors import DocumentRefused
from retrieval.documents import Parsed, ParseLimits
from retrieval.formats.tables import add_table
from retrieval.formats.text_blocks import TEXT_VERSION, Draft, FormatParser

BEGINNING = b"{\\rtf"


def build(limits: ParseLimits) -> FormatParser:
    return FormatParser((".rtf",), f"rtf {1 + TEXT_VERSION}", _parse, limits)


def _parse(draft: Draft, content: bytes) -> Parsed:
    if not content.lstrip().startswith(BEGINNING):
        raise DocumentRefused(
            f'"{draft.name}" is not RTF: it does not begin with {{\\rtf. Send it under the suffix of its real format.',
            reason="malformed",
        )
    # A cell of a table ends with a bar, and so does each row
    for in_table, lines in groupby(text_of(content).split("\n"), key=lambda line: line.endswith("|")):
        if in_table:
            add_table(draft, [line[:-1].split("|") for line in lines])
        else:
            for line in lines:
                draft.add("paragraph", line)
    return draft.finish()


def text_of(content: bytes) -> str:
    """Return the text of an RTF file, which is ASCII and says itself in which encoding its other letters are."""
    from striprtf.striprtf import rtf_to_text

    try:
        source = content.decode()  # not as the format is meant, but some programs write UTF-8
    except UnicodeDecodeError:
        source = content.decode("latin-1")
    return str(rtf_to_text(source, encoding="cp1252", errors="replace"))  # type: ignore[no-untyped-call]

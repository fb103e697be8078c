"""Documents that become others, which another parser reads."""

from dataclasses import replace

from retrieval.documents import Parsed
from retrieval.formats.text_blocks import FormatParser


def parse_by(parser: FormatParser, content: bytes, name: str) -> Parsed:
    """Return what the parser makes of a document, with its version, so that a newer one reads it anew."""
    parsed = parser.parse(content, name)
    return replace(parsed, parsers=(parser.version, *parsed.parsers))

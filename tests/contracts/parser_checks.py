"""What every parser promises, as plain checks: the suite runs them on the real ones, and on broken ones to test itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from foundation.errors import DocumentRefused
from retrieval.contract import Parser
from retrieval.documents import PAGE_BREAK, Parsed, ParseLimits
from retrieval.formats.text_blocks import clean
from tests.contracts.parser_samples import SAMPLES, SENTENCES

KINDS = {"heading", "paragraph", "item", "row", "code"}
Build = Callable[[ParseLimits], Parser]


@cache
def _samples(build: Build) -> list[tuple[str, bytes, Parsed]]:
    parser = build(ParseLimits())
    missing = set(parser.suffixes) - set(SAMPLES)
    assert not missing, f"add a sample for {sorted(missing)} to tests/contracts/parser_samples.py"
    return [
        (suffix, content, parser.parse(content, f"sample{suffix}"))
        for suffix in parser.suffixes
        for content in [SAMPLES[suffix]()]
    ]


def _refusal(build: Build, content: bytes, suffix: str, limits: ParseLimits | None = None) -> str | None:
    try:
        build(limits or ParseLimits()).parse(content, f"sample{suffix}")
    except DocumentRefused as error:
        return error.reason if "sample" in str(error) else "a reason, but a text that does not name the document"
    return None


def declares_suffixes_and_version(build: Build) -> None:
    parser = build(ParseLimits())
    assert isinstance(parser, Parser)
    assert parser.version
    assert parser.suffixes
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in parser.suffixes)


def keeps_every_fact_of_the_sample(build: Build) -> None:
    for suffix, _, parsed in _samples(build):
        for fact in (*SENTENCES, "Boots", "30"):
            assert fact in parsed.text, f"{fact!r} is lost from {suffix}"


def blocks_lie_in_order_inside_the_text_and_do_not_overlap(build: Build) -> None:
    for _, _, parsed in _samples(build):
        end = 0
        for block in parsed.blocks:
            assert end <= block.start < block.end <= len(parsed.text)
            end = block.end


def blocks_cover_everything_but_white_space(build: Build) -> None:
    for _, _, parsed in _samples(build):
        inside = {index for block in parsed.blocks for index in range(block.start, block.end)}
        assert all(parsed.text[index].isspace() for index in set(range(len(parsed.text))) - inside)


def blocks_are_of_known_kinds_and_only_headings_have_a_level(build: Build) -> None:
    for _, _, parsed in _samples(build):
        for block in parsed.blocks:
            assert block.kind in KINDS
            assert (1 <= block.level <= 6) if block.kind == "heading" else block.level == 0


def pages_are_counted_from_one(build: Build) -> None:
    """Slides and sheets, too. Where a format has pages, every block stands on one of them."""
    for _, _, parsed in _samples(build):
        for block in parsed.blocks:
            assert block.page is None if parsed.pages is None else 1 <= (block.page or 0) <= parsed.pages


def only_code_holds_line_breaks(build: Build) -> None:
    for _, _, parsed in _samples(build):
        for block in parsed.blocks:
            words = parsed.text[block.start : block.end]
            assert words == words.strip()
            assert block.kind == "code" or "\n" not in words


def the_text_is_clean(build: Build) -> None:
    for _, _, parsed in _samples(build):
        between = parsed.text.replace(PAGE_BREAK, "")
        assert between == clean(between)
        assert not any(PAGE_BREAK in parsed.text[block.start : block.end] for block in parsed.blocks)
        assert parsed.title is None or parsed.title == clean(parsed.title).strip() != ""


def hidden_characters_of_the_source_do_not_come_through(build: Build) -> None:
    parser = build(ParseLimits())
    for suffix in parser.suffixes:
        content = SAMPLES[suffix]()
        if not content.isascii():
            continue  # a packed format: its samples cannot be altered byte by byte
        hidden = content.replace(b"parcel", "par\u200bc\u202ee\U000e0041l".encode())
        text = parser.parse(hidden, f"sample{suffix}").text
        assert "parcel" in text or "\\u" in content.decode()


def the_same_bytes_give_the_same_document(build: Build) -> None:
    parser = build(ParseLimits())
    for suffix, content, parsed in _samples(build):
        assert parser.parse(content, f"sample{suffix}") == parsed


def nothing_at_all_is_refused_with_a_reason(build: Build) -> None:
    for suffix in build(ParseLimits()).suffixes:
        assert _refusal(build, b"", suffix) in {"empty", "malformed"}


def white_space_is_refused_with_a_reason(build: Build) -> None:
    for suffix in build(ParseLimits()).suffixes:
        assert _refusal(build, b" \n\n\t \n", suffix) in {"empty", "malformed"}


def binary_rubbish_is_refused_with_a_reason(build: Build) -> None:
    for suffix in build(ParseLimits()).suffixes:
        assert _refusal(build, bytes(range(256)) * 20, suffix) in {"binary", "malformed"}


def the_character_limit_holds(build: Build) -> None:
    for suffix in build(ParseLimits()).suffixes:
        assert _refusal(build, SAMPLES[suffix](), suffix, ParseLimits(characters=20)) == "too_large"


CHECKS: tuple[Callable[[Build], None], ...] = (
    declares_suffixes_and_version,
    keeps_every_fact_of_the_sample,
    blocks_lie_in_order_inside_the_text_and_do_not_overlap,
    blocks_cover_everything_but_white_space,
    blocks_are_of_known_kinds_and_only_headings_have_a_level,
    pages_are_counted_from_one,
    only_code_holds_line_breaks,
    the_text_is_clean,
    hidden_characters_of_the_source_do_not_come_through,
    the_same_bytes_give_the_same_document,
    nothing_at_all_is_refused_with_a_reason,
    white_space_is_refused_with_a_reason,
    binary_rubbish_is_refused_with_a_reason,
    the_character_limit_holds,
)

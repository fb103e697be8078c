"""Parsing in this process, where a project goes without the sandbox."""

from __future__ import annotations

from typing import Any

import pytest

from foundation.errors import DocumentRefused, MissingDependency
from retrieval.ingest import parsing
from retrieval.ingest.parsing import plain_parser
from retrieval.settings import ParsingSettings


def refusal(content: bytes, name: str, **settings: Any) -> DocumentRefused:
    with pytest.raises(DocumentRefused) as refused:
        plain_parser(ParsingSettings(**settings))(content, name)
    return refused.value


def test_plain_text_and_markdown_are_parsed_here() -> None:
    parsed = plain_parser(ParsingSettings())(b"# Fares\n\nA day ticket costs 9 EUR.", "fares.md")
    assert (parsed.title, parsed.text) == ("Fares", "Fares\n\nA day ticket costs 9 EUR.")
    assert [version.split()[0] for version in parsed.parsers] == ["markdown"]


@pytest.mark.parametrize("suffix", [".pdf", ".DOCX", ".csv", ".html"])
def test_a_file_of_any_other_format_needs_the_sandbox(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "parser_for", lambda *_: None)  # as if there were its parser
    refused = refusal(b"words", f"a{suffix}")
    assert (refused.reason, "Bring that file back" in str(refused)) == ("unsupported", True)


def test_what_is_too_large_unknown_or_empty_is_refused_by_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(b"eleven byte", "a.txt", max_bytes=10).reason == "too_large"
    with monkeypatch.context() as patched:
        patched.setattr(parsing, "PAGE_CHARACTERS", 5)
        assert refusal(b"more than five", "a.txt", max_pages=1).reason == "too_large"
    assert "2,000,000 that are parsed without" in str(refusal(b"a" * 2_000_001, "a.txt"))
    assert refusal(b"film", "a.mp4").reason == "unsupported"
    assert refusal(b"", "a.txt").reason == "empty"


def test_a_name_cannot_forge_lines_in_a_message() -> None:
    assert "\n" not in str(refusal(b"", "a\nERROR forged\n.txt"))


@pytest.mark.parametrize(
    ("error", "reason"), [(ValueError("a cell is odd"), "malformed"), (MemoryError(), "too_large")]
)
def test_whatever_a_parser_raises_is_a_refusal(error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(parsing, "parse_here", fail)
    assert refusal(b"words", "a.txt").reason == reason


def test_a_package_that_is_missing_is_no_fault_of_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ImportError("No module named 'markdown_it'")

    monkeypatch.setattr(parsing, "parse_here", fail)
    with pytest.raises(MissingDependency, match="markdown_it"):
        plain_parser(ParsingSettings())(b"words", "a.md")

"""Parsing in this process, where a project goes without the sandbox."""

from __future__ import annotations

from typing import Any

import pytest

from foundation.errors import DocumentRefused, InvalidSetting, MissingDependency
from retrieval.ingest import parsing
from retrieval.ingest.parsing import plain_parser
from retrieval.settings import ParsingSettings


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "supported_suffixes", lambda: [".md", ".txt"])


def refusal(content: bytes, name: str, **settings: Any) -> DocumentRefused:
    with pytest.raises(DocumentRefused) as refused:
        plain_parser(ParsingSettings(**settings))(content, name)
    return refused.value


@pytest.mark.usefixtures("plain")
def test_plain_text_and_markdown_are_parsed_here() -> None:
    parsed = plain_parser(ParsingSettings())(b"# Fares\n\nA day ticket costs 9 EUR.", "fares.md")
    assert (parsed.title, parsed.text) == ("Fares", "Fares\n\nA day ticket costs 9 EUR.")
    assert [version.split()[0] for version in parsed.parsers] == ["markdown"]


def test_a_parser_of_any_other_format_needs_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "supported_suffixes", lambda: [".md", ".pdf"])
    with pytest.raises(InvalidSetting, match=r"reads \.pdf, .* Bring that file back, or delete these parsers"):
        plain_parser(ParsingSettings())


@pytest.mark.usefixtures("plain")
def test_what_is_too_large_unknown_or_empty_is_refused_by_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(b"eleven byte", "a.txt", max_bytes=10).reason == "too_large"
    with monkeypatch.context() as patched:
        patched.setattr(parsing, "PAGE_CHARACTERS", 5)
        assert refusal(b"more than five", "a.txt", max_pages=1).reason == "too_large"
    assert "2,000,000 that are parsed without" in str(refusal(b"a" * 2_000_001, "a.txt"))
    assert refusal(b"film", "a.mp4").reason == "unsupported"
    assert refusal(b"", "a.txt").reason == "empty"


@pytest.mark.usefixtures("plain")
def test_a_name_cannot_forge_lines_in_a_message() -> None:
    assert "\n" not in str(refusal(b"", "a\nERROR forged\n.txt"))


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    ("error", "reason"), [(ValueError("a cell is odd"), "malformed"), (MemoryError(), "too_large")]
)
def test_whatever_a_parser_raises_is_a_refusal(error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(parsing, "parse_here", fail)
    assert refusal(b"words", "a.txt").reason == reason


@pytest.mark.usefixtures("plain")
def test_a_package_that_is_missing_is_no_fault_of_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ImportError("No module named 'markdown_it'")

    monkeypatch.setattr(parsing, "parse_here", fail)
    with pytest.raises(MissingDependency, match="markdown_it"):
        plain_parser(ParsingSettings())(b"words", "a.md")

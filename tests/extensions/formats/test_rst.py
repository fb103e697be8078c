"""What a reader sees of reStructuredText, and none of its marks."""

from __future__ import annotations

import pytest

from extensions.formats.rst import build
from retrieval.documents import Parsed, ParseLimits


def parse(text: str) -> Parsed:
    return build(ParseLimits()).parse(text.encode(), "a.rst")


@pytest.mark.parametrize(
    "fields",
    ["PEP: 8\nTitle: Style Guide\n  for Python\nStatus: Active", ":Author: Ada\n:Title: Style Guide for Python"],
)
def test_a_title_field_names_a_document_before_its_first_heading(fields: str) -> None:
    content = f"{fields}\n\nAbstract\n========\n\nThis says how.\n".encode()
    assert build(ParseLimits()).parse(content, "pep-0008.rst").title == "Style Guide for Python"
    assert build(ParseLimits()).parse(b"Abstract\n========\n\nTitle: in the text.\n", "a.rst").title == "Abstract"


def test_marks_roles_and_links_keep_their_words_alone() -> None:
    text = (
        "See :func:`~foo.bar`, :ref:`the other page <other>`, :pep:`8` and :pep:`its style <8>`: ``code``, *em*, **strong**, "
        "`a link <https://x.example>`_, |version| and a note [1]_.\n\n.. |version| replace:: 3.12\n\n.. [1] The note.\n"
    )
    assert parse(text).text == (
        "See foo.bar, the other page, PEP 8 and its style: code, em, strong, a link, 3.12 and a note [1].\n\n[1] The note."
    )


def test_directives_of_sphinx_keep_what_they_hold() -> None:
    text = (
        ".. toctree::\n   :maxdepth: 2\n\n   intro\n\n.. function:: bar(x)\n\n   Does :class:`it`.\n\n.. note:: Mind the *gap*.\n\n"
        ".. code-block:: python\n   :emphasize-lines: 1\n\n   def f():\n       return 1\n"
    )
    parsed = parse(text)
    assert parsed.text == "bar(x)\n\nDoes it.\n\nMind the gap.\n\ndef f():\n    return 1"
    assert [block.kind for block in parsed.blocks] == ["paragraph", "paragraph", "paragraph", "code"]


def test_lists_tables_and_headings_are_what_they_are() -> None:
    text = (
        "Terms\n=====\n\nDays\n----\n\n1. first\n#. second\n\nterm\n    What it means.\n\n====  =====\nPlan  Price\n====  =====\n"
        "Base  9 EUR\n====  =====\n"
    )
    parsed = parse(text)
    shown = [(block.kind, block.level, parsed.text[block.start : block.end]) for block in parsed.blocks]
    assert shown == [
        ("heading", 1, "Terms"), ("heading", 2, "Days"), ("item", 0, "1. first"), ("item", 0, "2. second"),
        ("item", 0, "term: What it means."), ("row", 0, "Plan: Base; Price: 9 EUR"),
    ]  # fmt: skip


def test_nothing_is_included_or_taken_raw() -> None:
    text = "Before.\n\n.. include:: /etc/passwd\n\n.. raw:: html\n\n   <script>x</script>\n\n.. csv-table::\n   :file: /etc/passwd\n\nAfter.\n"
    parsed = parse(text)
    assert "root:" not in parsed.text
    assert parsed.text.startswith("Before.")
    assert parsed.text.endswith("After.")


def test_broken_marks_stay_words() -> None:
    assert parse("An `open role and *an open star\n").text == "An `open role and *an open star"


@pytest.mark.parametrize("line", ["=====", "*****", '"""""'])
def test_a_title_between_two_lines_is_a_heading(line: str) -> None:
    parsed = parse(f"{line}\nTerms\n{line}\n\nPay at once.")
    assert [(block.kind, parsed.text[block.start : block.end]) for block in parsed.blocks] == [
        ("heading", "Terms"),
        ("paragraph", "Pay at once."),
    ]

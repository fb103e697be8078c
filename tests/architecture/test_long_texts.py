"""What reads the words of people, models and documents takes four times as long for four times the text, not sixteen times."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from langchain_core.tools import tool

from orchestration.actions import Origin
from orchestration.effects.values import foreign_values
from orchestration.language.guard import instructs_reader, without_foreign_urls
from orchestration.language.intent import classify_clauses, requests_to
from tests.architecture.worst_texts import COMMON, GROWTH, growth


@tool
def send(to: str, text: str, usd: int) -> str:
    """Send it."""
    return f"{to}{text}{usd}"


send.metadata = {"arguments": {"text": "content", "usd": "amount"}}

READERS: dict[str, Callable[[str], object]] = {
    "a person's words, for the values of an effect": lambda text: foreign_values(
        send, {"to": "ana@example.org", "text": text, "usd": 5}, Origin(words=text), {"send": send}
    ),
    "what is asked for": lambda text: [*requests_to(("remember", "note"), text, frozenset())],
    "clauses": classify_clauses,
    "orders to a model": instructs_reader,
    "addresses in an answer": lambda text: without_foreign_urls(text, [text[:100]]),
}


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_of_foreign_texts_is_slow_on_a_long_one(reader: str) -> None:
    slow = {
        unit: grown
        for unit in (*COMMON, "百", "not ", "and ")
        if (grown := growth(READERS[reader], "", unit, "!")) > GROWTH
    }
    assert not slow

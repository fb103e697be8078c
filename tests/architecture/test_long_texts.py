"""What reads the words of people, models and documents takes four times as long for four times the text, not sixteen times."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest
from langchain_core.tools import tool

from foundation.text.prose import blank_code
from orchestration.actions import Origin
from orchestration.effects.values import foreign_values
from orchestration.language.guard import without_foreign_urls
from retrieval.grounding.worked_figures import NUMBER, Figures
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
    "code in an answer": blank_code,
    "addresses in an answer": lambda text: without_foreign_urls(text, [text[:100]]),
}


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_of_foreign_texts_is_slow_on_a_long_one(reader: str) -> None:
    slow = {
        unit: grown
        for unit in (*COMMON, "百", "not ", "and ", "```\n", "~~~\n", "`a|b` ")
        if (grown := growth(READERS[reader], "", unit, "!")) > GROWTH
    }
    assert not slow


def work_out_all(answer: str, *read: str) -> None:
    figures = Figures(read, answer)
    for written in NUMBER.findall(answer):
        figures.work_out(written, percent=True)


def in_lists(many: int) -> str:
    draw = random.Random(1)
    return json.dumps({f"k{number}": [draw.random() * 1e6 for _ in range(12)] for number in range(many)})


def different(many: int) -> str:
    return " ".join(str(1_000 + 7 * number * number) for number in range(many))


@pytest.mark.parametrize(
    "work",
    [
        lambda text: work_out_all(different(len(text))),
        lambda text: work_out_all(different(5), in_lists(1 + len(text) // 100)),
    ],
    ids=["an answer of many figures", "a result of many lists"],
)
def test_figures_are_worked_out_in_a_time_that_grows_with_what_was_read(work: Callable[[str], object]) -> None:
    assert growth(work, "", "1", "") <= GROWTH

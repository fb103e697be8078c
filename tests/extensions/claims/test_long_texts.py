"""What reads an answer and its passages takes four times as long for four times the text, not sixteen times."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from extensions.claims.names import unknown_names
from extensions.claims.quantities import read_quantities
from extensions.claims.statements import plain_text
from extensions.claims.texts import Text
from tests.architecture.worst_texts import COMMON, GROWTH, growth

READERS: dict[str, Callable[[str], object]] = {
    "quantities": lambda text: [*read_quantities(text)],
    "abbreviations": lambda text: unknown_names(Text(f"{text} (Aaaaaaaaab)"), Text("Other words.")),
    "an answer as plain text": plain_text,
}


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_of_foreign_texts_is_slow_on_a_long_one(reader: str) -> None:
    slow = {
        unit: grown
        for unit in (*COMMON, "百", "not ", "and ")
        if (grown := growth(READERS[reader], "", unit, "!")) > GROWTH
    }
    assert not slow

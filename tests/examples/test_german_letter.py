"""The page shows what the example of the photographed German letter prints; places may differ, those of words may not be missing."""

import re
from pathlib import Path

import pytest

from examples.german_letter import __main__ as example
from examples.german_letter.letter import LINES, photograph
from examples.small_system import ask
from tests.examples.test_learn import missing

PAGE = (Path(__file__).parents[2] / "docs" / "extensions" / "ocr.md").read_text(encoding="utf-8")


@pytest.mark.real_model
@pytest.mark.slow
def test_the_page_shows_what_the_example_prints(capsys: pytest.CaptureFixture[str]) -> None:
    shown = re.findall(r"```console\n\$ \.venv/bin/python -m examples\.german_letter\n(.*?)```", PAGE, re.DOTALL)
    example.main()
    printed = capsys.readouterr().out
    assert len(shown) == 1
    assert missing(shown[0], printed) == []


@pytest.mark.real_model
@pytest.mark.slow
def test_an_english_answer_cites_the_place_of_the_german_figure_on_the_picture() -> None:
    with example.letter_system(example.WRITES) as system:
        answer = ask(system, "What is the total of the bill?")
        (citation,) = answer.citations
        places = example.boxes_of(system, citation)
    line, lines = LINES.index("Der Rechnungsbetrag ist 1.284,50 EUR."), 1000 / (2 * 90 + 54 * len(LINES))
    assert answer.text == "The bill is 1.284,50 EUR [1]."
    assert "1.284,50" in citation.quote
    assert all(left < right <= 600 for left, _, right, _ in places)
    assert all(abs((top + bottom) / 2 - (90 + 54 * line + 20) * lines) < 40 for _, top, _, bottom in places)


def test_the_picture_is_the_same_at_each_call() -> None:
    assert photograph() == photograph()

"""Where failures of a golden set are said to begin, and what a part is said to be worth."""

from __future__ import annotations

from dataclasses import replace

import pytest

from extensions.strengthen.weakest_layer import (
    ABLATIONS,
    Worth,
    choose_layer,
    count_failures,
    locate_failure,
    worth_of,
)
from extensions.swap_report.compare import compare
from foundation.types import Layer
from observability.evaluation.baseline import Side
from observability.evaluation.golden_set import GoldenCase
from observability.evaluation.leaks import LeakFinder
from observability.evaluation.trials import Trial, row_of
from observability.settings import ALLOWED
from orchestration.events import Answer
from serving.settings import load
from tests.doubles import answers

WRONG = {"passed": 0.0, "status": "answered"}


@pytest.mark.parametrize(
    ("row", "layer"),
    [
        (WRONG | {"error": "upstream_down", "recall_at_10": 0.0}, "serving"),
        (WRONG | {"leaked": 1.0}, "retrieval"),
        (WRONG | {"tool_right": 0.0}, "orchestration"),
        (WRONG | {"refused": 0.0}, "retrieval"),
        (WRONG | {"recall_at_10": 0.0}, "retrieval"),
        (WRONG | {"recall_at_10": 1.0, "status": "abstained"}, "retrieval"),
        (WRONG | {"recall_at_10": 1.0}, "models"),
    ],
)
def test_a_failure_is_laid_to_the_layer_in_which_it_began(row: dict[str, object], layer: str) -> None:
    assert locate_failure(row)[0] == layer  # type: ignore[index]


async def test_a_lost_document_is_laid_to_retrieval_by_the_rows_that_the_command_has() -> None:
    case = GoldenCase(
        id="c", question="How heavy?", kind="answerable", tenant="t", gold_documents=("a.md",), answers=("7",), answerable=True
    )  # fmt: skip
    trial, nothing = Trial(case, {"a.md": 1}), LeakFinder([])

    async def answer(_: GoldenCase) -> Answer:
        return answers.answer("It is heavy.")

    rows = [await row_of(trial, answer, lambda _, found=found: found, nothing) for found in ([], ["b.md"], ["a.md"])]
    assert [locate_failure(row) for row in rows] == [
        ("retrieval", "a document was not found"),
        ("retrieval", "a document was not found"),
        ("models", "the document was found, and the answer left its fact out"),
    ]


def test_what_passed_or_was_only_searched_for_is_no_failure() -> None:
    assert locate_failure({"passed": 1.0}) is None
    assert locate_failure({"id": "q"}) is None
    assert choose_layer([{"passed": 1.0}], [worth_of_part("models", "the reranker", -0.5)]) is None


def test_the_layer_with_most_failures_is_the_one_to_strengthen() -> None:
    rows = [WRONG | {"recall_at_10": 1.0}] * 3 + [WRONG | {"refused": 0.0}] * 2 + [WRONG | {"recall_at_10": 0.0}] * 2
    assert choose_layer(rows) == ("retrieval", "4 of 7 failures begin there"), "two kinds of one layer count together"
    assert count_failures(rows)[0] == ("models", "the document was found, and the answer left its fact out", 3)


def test_a_part_without_which_half_of_the_failures_are_none_comes_before_the_layer_with_most() -> None:
    rows = [WRONG | {"recall_at_10": 0.0}] * 4 + [{"passed": 1.0}] * 6
    harmless, harmful = worth_of_part("retrieval", "words", 0.3), worth_of_part("models", "the reranker", -0.3)
    assert choose_layer(rows, [harmless, harmful]) == (
        "models",
        "of 10 questions, 3 more got a right answer without the reranker",
    )
    assert choose_layer(rows, [worth_of_part("models", "the reranker", -0.1)]) == (
        "retrieval",
        "4 of 4 failures begin there",
    )
    assert choose_layer(rows, [replace(harmful, low=-0.6, high=0.0)]) == choose_layer(rows), "it may be by chance"
    assert choose_layer(rows, [replace(harmful, low=-0.6, high=-0.1)]) == choose_layer(rows, [harmful])


def worth_of_part(layer: Layer, without: str, passed: float) -> Worth:
    return Worth(layer, without, passed, low=None, high=None, ms=None, usd=None, n=10)


def test_a_part_is_worth_what_the_system_loses_without_it() -> None:
    def side(name: str, right: int) -> Side:
        rows = [
            {
                "id": str(number),
                "question": "?",
                "asked": True,
                "passed": float(number < right),
                "answer_ms": 100.0 + right,
            }
            for number in range(20)
        ]
        return Side(name, rows, "c", "t", {}, {})

    worth = worth_of(ABLATIONS[0], compare(side("without", 10), side("whole", 15), ALLOWED))
    assert (worth.passed, worth.ms, worth.n) == (0.25, 5.0, 20)
    assert worth.low is not None
    assert worth.high is not None
    assert 0 < worth.low < 0.25 < worth.high


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda ablation: ablation.without)
def test_each_part_can_be_left_out_by_a_setting_that_exists(ablation: object) -> None:
    assert load(overrides=ablation.changes).settings  # type: ignore[attr-defined]

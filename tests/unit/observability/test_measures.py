"""The measures of quality, each against a value worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.types import Scope
from observability.evaluation import metrics
from observability.evaluation.leaks import DocumentText, LeakFinder
from tests.doubles import answers

WORDS = "the spare head of the big printer costs sixty four dollars when bought alone"


@pytest.mark.parametrize(
    ("text", "gold", "contained"),
    [
        ("You have 30 days to return it.", "30 days", True),
        ("You have 130 days.", "30 days", False),
        ("It costs $64.00.", "64.00", True),
        ("It takes 15 mg.", "1.5 mg", False),
        ("It takes 1.5 mg.", "1.5 mg", True),
        ("It takes 1,5 mg.", "1.5 mg", True),
        ("Within 3-5 days.", "35 days", False),
        ("Within 3–5 days.", "3-5 days", True),
        ("Below -20 degrees.", "20 degrees", False),
        ("Below -20 degrees.", "−20 degrees", True),  # noqa: RUF001 - the sign of minus is meant
        ("It costs 1,250.50 euros.", "1250.50 euros", True),
        ("From 2026-03-31 on.", "2026/03/31", True),
        ("THE Spare-Head", "spare head", False),
        ("THE Spare-Head", "sparehead", True),
        ("within a   month", "the month", True),
        ("in “Bexley”", "bexley", True),
        ("北京大学在北京。", "北京", True),
        ("北京大学在北京。", "南京", False),
        ("anything", "", False),
        ("anything", "the", False),
        ("", "x", False),
    ],
)
def test_a_gold_string_counts_word_for_word_after_normalisation(text, gold, contained):
    assert metrics.contains(text, [gold]) is contained


def test_every_group_must_be_met_by_one_of_its_strings():
    asked = answers.case(answers_all=(("64.00", "64"), ("12 months",)))
    assert asked.answered_by("A head costs 64 and is covered for 12 months.")
    assert not asked.answered_by("A head costs 64.")


@pytest.mark.parametrize(
    ("text", "golds", "f1"),
    [
        ("thirty days", ["thirty days"], 1.0),
        ("thirty days", ["thirty"], 2 / 3),
        ("days days", ["days"], 2 / 3),
        ("one", ["two"], 0.0),
        ("thirty days", ["one", "days"], 2 / 3),
        ("", ["one"], 0.0),
        ("one", [], 0.0),
    ],
)
def test_token_f1_is_that_of_squad_against_the_best_gold_string(text, golds, f1):
    assert metrics.token_f1(text, golds) == pytest.approx(f1)


@given(st.text(), st.text())
def test_token_f1_is_symmetric_and_between_0_and_1(one, other):
    assert 0 <= metrics.token_f1(one, [other]) == metrics.token_f1(other, [one]) <= 1


def test_precision_and_recall_are_of_distinct_documents_and_absent_where_there_is_nothing():
    assert metrics.precision(["a", "a", "b"], ["a"]) == 0.5
    assert metrics.recall(["a", "a"], ["a", "b"]) == 0.5
    assert metrics.precision([], ["a"]) is None
    assert metrics.recall(["a"], []) is None
    assert metrics.recall([], ["a"]) == 0.0


def test_an_estimate_has_its_number_of_cases_and_an_interval_around_its_mean():
    found = metrics.estimate([1.0, 0.0, None, 1.0, 1.0] * 20)
    assert (found.mean, found.n) == (0.75, 80)
    assert 0.6 < found.low < 0.75 < found.high < 0.9
    assert found == metrics.estimate([1.0, 0.0, None, 1.0, 1.0] * 20)


@pytest.mark.parametrize(("right", "n"), [(0, 20), (8, 8), (9, 10), (50, 131)])
def test_the_interval_of_a_share_is_wilsons_and_keeps_a_width_where_all_are_equal(right, n):
    found = metrics.estimate([1.0] * right + [0.0] * (n - right))
    z, share = 1.959963984540054, right / n
    middle, half = share + z**2 / (2 * n), z * (share * (1 - share) / n + (z / (2 * n)) ** 2) ** 0.5
    assert (found.low, found.high) == pytest.approx(
        ((middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)), abs=1e-12
    )
    assert found.high - found.low > 0.1


@pytest.mark.parametrize("values", [[0.0] * 20, [0.0] * 19 + [1.0]])
def test_money_and_differences_that_happen_to_be_zeros_and_ones_are_no_share(values):
    found = metrics.estimate(values, share=False)
    assert (found.low, found.high) == pytest.approx((0, 3 * sum(values) / 20), abs=0.01)


def test_an_interval_of_95_percent_holds_the_true_share_about_so_often():
    # with the percentile bootstrap it was 575 of 1000 for eight cases of which nine in ten pass
    random, held = np.random.default_rng(11), {}
    for n in (8, 20, 131):
        drawn = [metrics.estimate((random.random(n) < 0.9).astype(float)) for _ in range(1000)]
        held[n] = sum(one.low <= 0.9 <= one.high for one in drawn)
    assert all(930 <= count <= 985 for count in held.values()), held


def test_more_cases_make_the_interval_narrower():
    few, many = metrics.estimate([0.0, 1.0] * 10), metrics.estimate([0.0, 1.0] * 500)
    assert many.high - many.low < (few.high - few.low) / 3


def test_no_case_is_no_estimate():
    assert metrics.estimate([None]) == metrics.Estimate(None, None, None, 0)
    assert str(metrics.estimate([])) == "-"


DOCUMENTS = [
    DocumentText(
        "public.md", "*", frozenset(), "Anyone may read how a label is printed on the small one and where it is cut."
    ),
    DocumentText("acme.md", "acme", frozenset(), f"For Acme: {WORDS}."),
    DocumentText(
        "managers.md",
        "acme",
        frozenset({"managers"}),
        "Only managers know that the discount of Acme is twelve percent on heads this year.",
    ),
]


@pytest.mark.parametrize(
    ("scope", "text", "citations", "leaked"),
    [
        (Scope("acme"), WORDS, ["acme.md"], False),
        (Scope("bell"), "nothing", ["acme.md"], True),
        (Scope("bell"), f"I read that {WORDS.upper()}!", [], True),
        (Scope("bell"), "the spare head of the big printer", [], False),
        (Scope("bell"), DOCUMENTS[0].text, ["public.md"], False),
        (Scope("bell"), "nothing", ["unknown.md"], False),
        (Scope("acme"), DOCUMENTS[2].text, [], True),
        (Scope("acme", frozenset({"managers"})), DOCUMENTS[2].text, ["managers.md"], False),
    ],
)
def test_an_answer_leaks_when_it_cites_or_repeats_what_the_asker_may_not_see(scope, text, citations, leaked):
    assert LeakFinder(DOCUMENTS).has_leak(scope, text=text, citations=citations) is leaked


def test_words_that_a_permitted_document_has_as_well_are_no_leak():
    twin = DocumentText("twin.md", "bell", frozenset(), f"For Bell as well {WORDS}")
    assert not LeakFinder([*DOCUMENTS, twin]).has_leak(Scope("bell"), text=WORDS, citations=[])

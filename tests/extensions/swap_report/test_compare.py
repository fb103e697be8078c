"""What a swap changed: pairs, intervals, thresholds, the verdict, and the page that shows it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from extensions.swap_report import compare, differences, page
from foundation.errors import InvalidRequest
from observability.evaluation import baseline
from observability.evaluation.baseline import Side
from observability.evaluation.metrics import Numbers
from observability.settings import ALLOWED


def row(number: int, **scores: Any) -> dict[str, Any]:
    return {
        "id": f"q{number}",
        "question": f"Question {number}?",
        "asked": True,
        "status": "answered",
        "usd": 1e-5,
    } | scores


def side(name: str, rows: Sequence[Mapping[str, Any]], **changes: Any) -> Side:
    figures = {"peak_rss_mb": changes.pop("peak", 500.0), "open_s": 1.0}
    given = {"corpus": "c" * 64, "trials": "t" * 64, "stack": {"models.embedder.use": name}} | changes
    return Side(name=name, rows=rows, figures=figures, **given)


def verdict(a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]], **changes: Any) -> compare.Comparison:
    return compare.compare(side("A", a), side("B", b, **changes), ALLOWED)


def recalls(values: Sequence[float]) -> list[dict[str, Any]]:
    return [row(number, recall_at_10=float(value)) for number, value in enumerate(values)]


def test_a_system_against_itself_is_equal() -> None:
    rows = [
        row(number, recall_at_10=number % 2, passed=number % 3 > 0, answer_ms=100.0 + number) for number in range(60)
    ]
    found = verdict(rows, rows)
    assert (found.verdict, found.exit_code, found.changed) == ("equal", 0, [])
    assert {one.diff for one in found.metrics.values()} == {0.0}
    assert found.notes[0].endswith("(rule of three): recall_at_10 up to 5.0% (n=60), passed up to 5.0% (n=60).")


def test_equal_systems_on_enough_cases_need_no_warning_and_a_few_never_decide() -> None:
    def itself(count: int) -> compare.Comparison:
        rows = [row(number, passed=number % 3 > 0, leaked=0.0) for number in range(count)]
        return verdict(rows, rows)

    (note,) = itself(200).notes
    assert "passed" not in note, "0.03 may be lost, and 3 of 200 is less"
    assert "leaked up to 1.5% (n=200)" in note
    few = itself(7)
    assert (few.verdict, few.exit_code, few.metrics["passed"].more_needed) == ("undecided", 0, 1)
    assert few.reason.endswith("About 1 more cases that have these figures would decide it.")


def test_a_loss_that_is_surely_larger_than_allowed_is_worse() -> None:
    found = verdict(recalls([1] * 90 + [0] * 10), recalls([1] * 60 + [0] * 40))
    assert (found.verdict, found.exit_code) == ("worse", 1)
    assert found.metrics["recall_at_10"].diff == pytest.approx(-0.3)
    assert "recall_at_10" in found.reason


def test_a_sure_gain_without_a_loss_is_better() -> None:
    found = verdict(recalls([1] * 60 + [0] * 40), recalls([1] * 90 + [0] * 10))
    assert (found.verdict, found.exit_code) == ("better", 0)


def test_too_few_cases_are_undecided_and_it_says_how_many_more_it_takes() -> None:
    """One of twenty lost, none won: the mean is 0.05 lower, and the interval reaches from 0.15 to nothing."""
    found = verdict(recalls([1] * 20), recalls([1] * 19 + [0]))
    one = found.metrics["recall_at_10"]
    assert (found.verdict, found.exit_code, one.verdict) == ("undecided", 0, "undecided")
    assert one.low is not None
    assert one.low < -0.02 < one.high
    assert one.more_needed is not None
    assert one.more_needed > 20
    assert str(one.more_needed) in found.reason


def test_as_many_cases_as_it_asked_for_decide_it() -> None:
    a, b = [1] * 20, [1] * 19 + [0]
    more = verdict(recalls(a), recalls(b)).metrics["recall_at_10"].more_needed
    assert more is not None
    times = more // 20 + 2
    assert verdict(recalls(a * times), recalls(b * times)).verdict == "worse"


def test_a_few_pairs_that_all_differ_prove_nothing() -> None:
    assert verdict(recalls([1, 1]), recalls([0, 0])).metrics["recall_at_10"].verdict == "undecided"


def test_the_interval_covers_the_true_difference_about_as_often_as_it_says() -> None:
    """A hundred experiments of which the truth is known; 95 of 100 is meant, and 88 leaves room for chance."""
    random, covered = np.random.default_rng(1), 0
    for _ in range(100):
        a = random.random(80) < 0.7
        b = np.where(random.random(80) < 0.2, random.random(80) < 0.5, a)  # true difference: 0.2 * (0.5 - 0.7)
        one = verdict(recalls(a), recalls(b)).metrics["recall_at_10"]
        assert one.low is not None
        covered += one.low <= -0.04 <= one.high
    assert covered >= 88


def test_pairs_are_of_the_same_question_in_whatever_order() -> None:
    a = recalls([1, 0] * 20)
    assert verdict(a, a[::-1]).metrics["recall_at_10"].low == 0.0


def test_a_measure_counts_where_both_systems_have_it() -> None:
    a = [row(1, citation_precision=1.0), row(2), row(3, citation_precision=0.0)]
    b = [row(1, citation_precision=1.0), row(2, citation_precision=0.0), row(3)]
    assert verdict(a, b).metrics["citation_precision"].n == 1
    assert "tool_right" not in verdict(a, b).metrics


def test_repeats_are_one_pair() -> None:
    rows = [row(number, answer_ms=time) for time in (10.0, 30.0, 90.0) for number in range(10)]
    found = verdict(rows, rows)
    assert (found.metrics["answer_p50_ms"].a, found.metrics["answer_p50_ms"].n, found.repeats) == (30.0, 10, 3)


def test_a_single_leak_is_one_too_many() -> None:
    a = [row(number, leaked=0.0) for number in range(200)]
    assert verdict(a, [*a[1:], row(0, leaked=1.0)]).verdict == "worse"


def test_times_money_and_memory_are_allowed_a_share_of_what_they_were() -> None:
    a = [row(number, answer_ms=100.0 + number % 7, usd=1.0, passed=1.0) for number in range(60)]
    slower = [one | {"answer_ms": one["answer_ms"] * 1.2, "usd": 2.0} for one in a]
    found = verdict(a, slower, peak=600.0)
    assert found.metrics["answer_p50_ms"].verdict == "equal"
    assert (found.metrics["usd_per_answer"].verdict, found.metrics["usd_per_answer"].threshold) == ("worse", 0.25)
    assert found.metrics["usd_per_correct_answer"].verdict == "shown"
    assert (found.metrics["peak_rss_mb"].verdict, found.metrics["peak_rss_mb"].threshold) == ("equal", 250.0)
    assert verdict(a, a, peak=800.0).verdict == "worse"


SPIKES = 0.02
"""Share of the calls that another program on the machine held up."""


def measured(base: Numbers, random: np.random.Generator, *, repeats: int = 3) -> list[dict[str, Any]]:
    """Rows of a system whose answers take `base` seconds, as they are measured on a busy machine and paid by time."""
    rows = []
    for _ in range(repeats):
        took = base * random.lognormal(0, 0.25, len(base)) * np.where(random.random(len(base)) < SPIKES, 6, 1)
        rows += [row(n, answer_ms=s * 1000, search_ms=s * 50, usd=s * 3e-5, passed=1.0) for n, s in enumerate(took)]
    return rows


def test_on_a_busy_machine_a_system_against_itself_is_equal() -> None:
    """Twenty reports on a system whose answers take from a tenth of a second to one, measured with noise and spikes."""
    random, verdicts = np.random.default_rng(3), []
    for _ in range(20):
        base = random.uniform(0.1, 1.0, 60)
        peaks = random.normal(800, 5, 2)
        a, b = measured(base, random), measured(base, random)
        verdicts.append(compare.compare(side("A", a, peak=peaks[0]), side("B", b, peak=peaks[1]), ALLOWED).verdict)
    assert verdicts.count("equal") >= 19


@pytest.mark.parametrize(("times", "verdict_"), [(2.0, "worse"), (0.5, "better")])
def test_on_a_busy_machine_a_system_of_another_speed_is_told(times: float, verdict_: str) -> None:
    random, verdicts = np.random.default_rng(4), []
    for _ in range(20):
        base = random.uniform(0.1, 1.0, 60)
        found = verdict(measured(base, random), measured(base * times, random))
        verdicts.append((found.metrics["answer_p50_ms"].verdict, found.metrics["usd_per_answer"].verdict))
    assert verdicts == [(verdict_, verdict_)] * 20


def test_less_memory_by_a_hair_is_no_gain() -> None:
    rows = recalls([1] * 20)
    found = [verdict(rows, rows, peak=peak).metrics["peak_rss_mb"].verdict for peak in (499.0, 334.0, 333.0)]
    assert found == ["equal", "equal", "better"], "half as much again is allowed, so two thirds are a gain"


def test_the_cost_of_a_correct_answer_carries_the_wrong_ones() -> None:
    rows = [row(number, usd=1.0, passed=float(number < 20)) for number in range(40)]
    found = verdict(rows, rows)
    assert (found.metrics["usd_per_answer"].a, found.metrics["usd_per_correct_answer"].a) == (1.0, 2.0)


def test_an_unpriced_answer_is_counted_and_never_free() -> None:
    a = [row(number, usd=None if number % 2 else 1.0) for number in range(20)]
    found = verdict(a, a)
    assert found.metrics["usd_per_answer"].n == 10
    assert "20 answers have no known price" in " ".join(found.notes)


@pytest.mark.parametrize("what", ["corpus", "trials"])
def test_runs_on_different_data_are_not_compared(what: str) -> None:
    with pytest.raises(InvalidRequest, match="differ"):
        verdict(recalls([1]), recalls([1]), **{what: "x" * 64})


def test_a_stored_run_is_compared_without_its_times() -> None:
    rows = [row(number, passed=1.0, answer_ms=10.0) for number in range(30)]
    stored = baseline.baseline_of(baseline.as_baseline(side("A", rows)), "before.json")
    slower = [one | {"answer_ms": 99.0} for one in rows]
    found = compare.compare(stored, side("B", slower), ALLOWED)
    assert (found.verdict, "answer_p50_ms" in found.metrics) == ("equal", False)


def test_what_changed_is_shown_side_by_side_losses_first() -> None:
    a = [row(1, passed=1.0, answer="30 days"), row(2, passed=0.0, answer="no"), row(3, passed=1.0, answer="yes")]
    b = [row(1, passed=0.0, answer="20 days"), row(2, passed=1.0, answer="ok"), row(3, passed=1.0, answer="yes")]
    changed = baseline.find_changes(side("A", a), side("B", b))
    assert [(one["id"], one["gain"]) for one in changed] == [("q1", -1.0), ("q2", 1.0)]
    assert (changed[0]["a"]["answer"], changed[0]["b"]["answer"]) == ("30 days", "20 days")


def test_a_run_that_is_held_against_its_own_baseline_changed_nothing() -> None:
    run = side("A", [row(number, passed=1.0, answer="yes", ndcg_at_10=1 / 3) for number in range(3)])
    stored = baseline.baseline_of(baseline.as_baseline(run), "baseline.json")
    assert baseline.find_changes(stored, run) == []
    found = compare.compare(stored, run, ALLOWED).metrics["ndcg_at_10"]
    assert (found.diff, found.low, found.high) == (0.0, 0.0, 0.0)


HOSTILE = "<script>alert('x')</script>\"&"


def test_the_page_is_whole_in_itself_and_escapes_every_text() -> None:
    rows = [
        row(number, passed=number % 2, answer=HOSTILE, question=HOSTILE, answer_ms=5.0 + number, gold_answers=[HOSTILE],
            citations=[HOSTILE], recall_at_10=1.0)
        for number in range(20)
    ]  # fmt: skip
    other = [one | {"passed": 1.0, "answer": HOSTILE[::-1]} for one in rows]
    text = page.render_page(compare.compare(side(HOSTILE, rows), side("B", other), ALLOWED), HOSTILE)
    assert "<script" not in text
    assert text.count("&lt;script&gt;") > 20
    assert text.count("<svg") == 1
    assert not re.search(r"(src|href)=|https?://|@import|url\(", text)


def test_every_threshold_is_of_a_figure_that_exists() -> None:
    assert set(ALLOWED) == {measure.name for measure in (*differences.MEASURES, differences.PEAK)}


WORSE: dict[str, Callable[[float], float]] = {"more": lambda value: value - 0.5, "less": lambda value: value * 3 + 0.5}


@pytest.mark.parametrize("measure", differences.MEASURES, ids=lambda measure: measure.name)
def test_each_figure_is_read_in_its_own_direction(measure: differences.Measure) -> None:
    allowed = {**ALLOWED, measure.name: 0.1}
    spoilt = WORSE["more" if measure.more_is_better else "less"]
    a = [row(number, **dict.fromkeys(measure.keys, 0.8)) for number in range(40)]
    b = [one | {measure.keys[0]: spoilt(0.8)} for one in a]
    assert compare.compare(side("A", a), side("B", b), allowed).metrics[measure.name].verdict == "worse"
    assert compare.compare(side("B", b), side("A", a), allowed).metrics[measure.name].verdict == "better"


def drafted(outcomes: Sequence[str], **scores: float) -> list[dict[str, Any]]:
    return [row(number, drafts=[outcome], **scores) for number, outcome in enumerate(outcomes)]


def test_drafts_are_counted_for_each_side_and_shown_on_the_page() -> None:
    found = verdict(drafted(["shown"] * 8 + ["marked"] * 2), drafted(["discarded"] * 9 + ["refused"]))
    assert found.drafts == {
        "a": {"n": 10, "shown": 8, "marked": 2, "discarded": 0, "refused": 0},
        "b": {"n": 10, "shown": 0, "marked": 0, "discarded": 9, "refused": 1},
    }
    assert found.as_dict()["drafts"] == found.drafts
    assert len(found.changed) == 10, "the same text for other drafts is a change"
    text = page.render_page(found, "data")
    assert "<td>discarded, quotes shown instead</td><td>0</td><td>9</td>" in text
    assert "<small>B answered, draft discarded</small>" in text


def test_two_models_whose_drafts_nobody_saw_are_not_equal() -> None:
    quoted = [row(number, passed=1.0, recall_at_10=1.0) for number in range(40)]
    found = compare.compare(
        side("A", quoted, stack={"models.chat.model": "small"}),
        side("B", drafted(["discarded"] * 40, passed=1.0, recall_at_10=1.0), stack={"models.chat.model": "large"}),
        ALLOWED,
    )
    assert (found.verdict, found.exit_code) == ("undecided", 0)
    assert found.reason.startswith(
        "People saw the same, but not all that was written, so the two are not equal on passed."
    )
    assert found.metrics["passed"].verdict == "unseen"
    assert found.metrics["recall_at_10"].verdict == "equal", "nobody writes what is searched"
    assert found.notes[0].startswith("40 of the 40 texts that the chat model of B wrote were not shown")


def test_few_drafts_that_nobody_saw_may_not_outweigh_what_is_allowed() -> None:
    rows = {
        name: drafted(["discarded"] * hidden + ["shown"] * (100 - hidden), passed=1.0)
        for name, hidden in (("none", 0), ("few", 3), ("many", 4))
    }

    def against(name: str) -> str:
        sides = [side(which, rows[which], stack={"models.chat.model": which}) for which in ("none", name)]
        return compare.compare(*sides, ALLOWED).verdict

    assert [against("few"), against("many")] == ["equal", "undecided"]


def test_the_same_writer_is_equal_to_itself_whatever_the_gate_discards() -> None:
    rows = drafted(["discarded"] * 40, passed=1.0)
    assert verdict(rows, rows).verdict == "equal"
    assert verdict(rows, rows, stack={"retrieval.vectors.use": "memory"}).verdict == "equal"


def test_a_prompt_that_changed_is_named() -> None:
    rows = recalls([1] * 20)
    old, new = ({"prompts.persona": f"persona@{version}"} for version in (1, 2))
    found = compare.compare(side("A", rows, stack=old), side("B", rows, stack=new), ALLOWED)
    assert "The prompt persona is persona@2 in B, persona@1 in A." in found.notes
    before = compare.compare(side("A", rows, stack={}), side("B", rows, stack=new), ALLOWED)
    assert not [note for note in before.notes if "prompt" in note], "an older report named none"

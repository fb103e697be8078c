"""Answers are scored against golden cases."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from foundation.errors import InvalidRequest, UpstreamDown
from observability.evaluation.golden_set import Report, evaluate_golden, load_golden, read_known_cases, score
from observability.evaluation.leaks import DocumentText, LeakFinder
from orchestration.events import NearDocument
from tests.doubles.answers import answer, case, waiting

REFUND = {"order_id": "QM-1", "amount_usd": 80.0, "reason": "arrived broken"}


def refund_case(**changed):
    tool = {"name": "refund", "arguments": REFUND}
    return case(**{"kind": "tool", "gold_documents": (), "answers": ("80",), "tool": tool, **changed})


def test_a_right_and_cited_answer_gets_full_marks():
    found = score(case(), answer("30 days", cites=["a.md"]), retrieved=["b.md", "a.md"]).measures
    assert found == {
        "answer_contained": 1, "token_f1": 1, "citation_precision": 1, "citation_recall": 1, "retrieval_recall": 1,
        "passed": 1,
    }  # fmt: skip


def test_the_marker_of_a_citation_is_no_word_of_the_answer():
    found = score(
        case(answers=("within 30 days of delivery",)), answer("within 30 [1] days of delivery [1]", cites=["a.md"])
    )
    assert (found.measures["token_f1"], found.passed) == (1, True)


def test_an_abstention_where_there_is_an_answer_counts_as_wrong_and_has_no_precision():
    found = score(case(), answer("30 days", status="abstained")).measures
    assert found == {"answer_contained": 0, "token_f1": 0, "citation_recall": 0, "passed": 0}


def test_two_facts_must_both_be_there():
    both = case(kind="two_documents", answers=("60 days", "30 days"), answers_all=(("60 days",), ("30 days",)))
    assert not score(both, answer("30 days")).passed
    assert score(both, answer("60 days for Acme, 30 days for others")).passed


@pytest.mark.parametrize(
    ("status", "right"), [("abstained", 1), ("refused", 1), ("escalated", 1), ("answered", 0), ("failed", 0)]
)
def test_what_cannot_be_answered_must_be_refused(status, right):
    unanswerable = case(kind="unanswerable", answerable=False, answers=(), gold_documents=())
    assert score(unanswerable, answer("x", status=status)).measures == {"refused": right, "passed": right}


@pytest.mark.parametrize(
    ("given", "right"),
    [
        (waiting("refund", REFUND), True),
        (waiting("refund", REFUND | {"amount_usd": "80.00", "order_id": "qm-1", "reason": "broken"}), True),
        (waiting("refund", REFUND | {"amount_usd": 800}), False),
        (waiting("refund", REFUND | {"order_id": "QM-2"}), False),
        (waiting("refund", {"order_id": "QM-1"}), False),
        (waiting("open_ticket", REFUND), False),
        (answer("80", path="extractive"), False),
    ],
)
def test_an_effect_is_right_when_exactly_it_waits_for_a_person(given, right):
    assert score(refund_case(), given).passed is right


def test_reading_with_a_tool_is_right_when_its_answer_is():
    lookup = case(
        kind="tool",
        gold_documents=(),
        answers=("shipped",),
        tool={"name": "find_order", "arguments": {"order_id": "QM-1"}},
    )
    assert score(lookup, answer("It was shipped.", path="tool")).passed
    assert not score(lookup, answer("It was lost.", path="tool")).passed
    assert not score(lookup, answer("It was shipped.", path="extractive")).passed


async def test_an_effect_that_happened_without_a_person_is_reported():
    async def careless(_):
        return waiting("refund", REFUND, status="approved")

    report = await evaluate_golden([refund_case()], careless)
    assert report.as_dict()["effects_without_approval"] == 1


def test_a_leak_fails_the_case_even_when_the_rest_is_right():
    leaks = LeakFinder([DocumentText("a.md", "bell", frozenset(), "x")])
    found = score(case(), answer("30 days", cites=["a.md"]), leaks=leaks)
    assert (found.measures["leaked"], found.passed) == (1, False)


def test_documents_that_a_refusal_points_to_leave_it_a_refusal_and_must_be_allowed_too():
    leaks = LeakFinder([DocumentText("a.md", "bell", frozenset(), "x"), DocumentText("b.md", "acme", frozenset(), "y")])
    for uri, passed in (("a.md", False), ("b.md", True)):
        near = NearDocument(document_id=uri, uri=uri, title=uri)
        refusal = answer("double: no", status="abstained", path="none", nearest=(near,))
        refused = case(kind="unanswerable", answerable=False, answers=(), gold_documents=())
        assert score(refused, refusal, leaks=leaks).passed is passed
        answerable = score(case(gold_documents=(uri,)), refusal, leaks=leaks)
        assert (answerable.citations, answerable.measures["answer_contained"]) == ((), 0)


async def test_the_report_is_by_kind_with_numbers_of_cases_and_lists_the_worst():
    cases = [case(id="right"), case(id="wrong"), case(id="down"), case(id="no", kind="unanswerable", answerable=False, answers=(), gold_documents=())]  # fmt: skip

    async def asked(one):
        if one.id == "down":
            raise UpstreamDown("the double is down")
        return {
            "right": answer("30 days", cites=["a.md"]),
            "wrong": answer("9 years"),
            "no": answer("", status="abstained"),
        }[one.id]

    seen = []
    report = await evaluate_golden(cases, asked, retrieve=lambda _: ["a.md"], progress=seen.append)
    assert seen == [1, 2, 3, 4]
    assert (report.overall["passed"].mean, report.overall["passed"].n) == (0.5, 4)
    assert (
        report.by_kind["answerable"]["answer_contained"].mean,
        report.by_kind["answerable"]["answer_contained"].n,
    ) == (1 / 3, 3)
    assert report.by_kind["unanswerable"]["refused"].mean == 1
    assert report.overall["retrieval_recall"].n == 3
    assert [row.case.id for row in report.worst()] == ["down", "wrong"]
    assert report.worst()[0].error == "upstream_down: the double is down"
    assert json.loads(json.dumps(report.as_dict()))["cases"] == 4
    assert report.table().row_count == len(report.overall)


async def test_the_report_is_sliced_by_tenant_and_document_type_and_shows_what_went_wrong():
    cases = [
        case(id="a"),
        case(id="b", tenant="bell", question="[red]How wide?[/]", gold_documents=("b.pdf", "c.md", "d.pdf")),
        case(id="c", kind="unanswerable", answerable=False, answers=(), gold_documents=()),
    ]

    async def asked(one):
        return {"a": answer("30 days", cites=["a.md"]), "b": answer("9 years"), "c": answer("", status="abstained")}[
            one.id
        ]

    report = await evaluate_golden(cases, asked)
    passed = {
        by: {which: (scores["passed"].mean, scores["passed"].n) for which, scores in found.items()}
        for by, found in report.slices.items()
    }
    assert passed == {"tenant": {"acme": (1, 2), "bell": (0, 1)}, "document type": {"md": (0.5, 2), "pdf": (0, 1)}}
    assert report.as_dict()["slices"]["tenant"]["bell"]["passed"]["mean"] == 0
    assert report.slice_table().row_count == 2 + 2 + 2
    shown = Console(file=io.StringIO(), width=200)
    shown.print(report.worst_table())
    assert "[red]How wide?[/]" in shown.file.getvalue()
    assert "answered: 9 years" in shown.file.getvalue()
    assert "30 days" in shown.file.getvalue()


def test_a_golden_set_is_read_line_by_line(tmp_path):
    (tmp_path / "golden.jsonl").write_text(json.dumps(case().model_dump()) + "\n\n")
    assert load_golden(tmp_path / "golden.jsonl") == [case()]


@pytest.mark.parametrize("line", ["{}", "no json", "[1]", json.dumps(case().model_dump() | {"answer": "x"})])
def test_a_line_that_is_no_case_is_named(tmp_path, line):
    (tmp_path / "golden.jsonl").write_text(json.dumps(case().model_dump()) + "\n" + line)
    with pytest.raises(InvalidRequest, match="line 2"):
        load_golden(tmp_path / "golden.jsonl")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"answers": ()}, "says no answer, so it could never pass"),
        ({"answerable": False}, 'its kind is "answerable"'),
        ({"kind": "unanswerable"}, '"answerable" is true'),
        ({"id": case().id}, "stands twice"),
        ({"answers": ("", "...")}, "says no answer, so it could never pass"),
        ({"answers": (), "answers_all": (("30 days",), ())}, "says no answer, so it could never pass"),
        ({"question": "  "}, "its question is empty"),
        ({"answers": ("never",)}, f'the case "{case().id}" asks the same, and would count twice'),
    ],
)
def test_a_case_that_no_answer_could_pass_is_refused_by_its_line(tmp_path, changes, says):
    second = case().model_copy(update={"id": "second", **changes}).model_dump_json()
    (tmp_path / "golden.jsonl").write_text(f"{case().model_dump_json()}\n{second}\n")
    with pytest.raises(InvalidRequest, match=rf"line 2: .*{says}"):
        load_golden(tmp_path / "golden.jsonl")


def test_the_same_question_may_be_asked_for_another_tenant(tmp_path):
    second = case().model_copy(update={"id": "second", "tenant": "another"})
    (tmp_path / "golden.jsonl").write_text(f"{case().model_dump_json()}\n{second.model_dump_json()}\n")
    assert load_golden(tmp_path / "golden.jsonl") == [case(), second]


def test_a_golden_set_without_a_case_is_refused_where_it_is_asked_and_may_be_added_to(tmp_path):
    path = tmp_path / "golden.jsonl"
    assert read_known_cases(path) == []
    path.write_text("\n")
    with pytest.raises(InvalidRequest, match="has no case, so there is nothing to ask"):
        load_golden(path)
    path.write_text("")
    assert read_known_cases(path) == []


def test_a_golden_set_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(InvalidRequest, match="cannot be read"):
        load_golden(tmp_path / "golden.jsonl")


async def test_groups_of_answers_are_enough_to_score_a_case():
    both = case(answers=(), answers_all=(("30 days", "a month"), ("5 %",)))
    assert score(both, answer("A month, less 5 %.")).passed
    half = score(both, answer("Within 30 days."))
    assert not half.passed
    shown = Console(file=io.StringIO(), width=200)
    shown.print(Report((half,)).worst_table())
    assert "30 days or a month and 5 %" in shown.file.getvalue()

"""The benchmark of meaning: 120 statements of ours, claims that people judged, and who is asked about them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, BaseMessage

from extensions.development.scripted_chat import ScriptedChat
from extensions.judge.judging import JudgeCheck
from extensions.judge.settings import JudgeSettings
from foundation.errors import InvalidRequest
from lab.bench.meaning import OURS, TRUE, Case, Statement, bench_meaning, known_alone, read_cases
from orchestration.contract import WrittenAnswer
from retrieval.grounding.checks import Finding

CASE = Case(
    "ours",
    ("A parcel takes 35 days.",),
    (Statement("It takes 47 days.", "wrong_figure", False), Statement("Five weeks it takes.", TRUE, True)),
)


def test_our_statements_are_balanced_and_none_is_a_quotation() -> None:
    cases = read_cases(OURS)
    kinds = Counter(statement.kind for case in cases for statement in case.statements)
    assert kinds.pop(TRUE) == 60
    assert set(kinds.values()) == {15}
    assert not [it.says for case in cases for it in case.statements if it.says.rstrip(".") in case.passages[0]]


def test_what_is_always_checked_marks_a_figure_that_was_not_read() -> None:
    figures = bench_meaning([CASE], known_alone, None)
    assert (figures["false_marked"], figures["true_marked"]) == (1.0, 0.0)
    assert figures["n"]["false_marked ours wrong_figure"] == 1
    low, high = figures["intervals_95"]["true_marked"]
    assert 0 == low < high < 1
    assert [row["marked"] for row in figures["rows"]] == [True, False]


def by_judge(answer: WrittenAnswer) -> Sequence[Finding]:
    return JudgeCheck.of(JudgeSettings())(answer, None)  # type: ignore[arg-type]


def test_what_people_judged_marks_what_they_found_false_when_a_model_says_it_to_the_judge() -> None:
    cases = read_cases(OURS)
    false = {it.says for case in cases for it in case.statements if not it.holds}

    def as_people_judged(messages: Sequence[BaseMessage]) -> AIMessage:
        asked = json.loads(messages[-1].text)
        doubts = [{"statement": it["number"], "reason": "no"} for it in asked["statements"] if it["says"] in false]
        return AIMessage(f"```json\n{json.dumps({'not_supported': doubts})}\n```")

    figures = bench_meaning(cases, by_judge, ScriptedChat(replies=(as_people_judged,)))
    assert (figures["false_marked"], figures["true_marked"]) == (1.0, 0.0)
    assert (figures["answers"], figures["without_verdict"]) == (15, {})


def test_a_reply_that_is_no_verdict_marks_nothing_and_is_counted() -> None:
    figures = bench_meaning([CASE], by_judge, ScriptedChat(replies=(lambda _: AIMessage("Fine."),)))
    assert (figures["false_marked"], figures["without_verdict"]) == (0.0, {"upstream_malformed": 1})


def test_a_claim_that_is_neither_true_nor_false_is_left_out(tmp_path: Path) -> None:
    rows = [
        {"claim": f"It is {label}.", "label": label, "evidence_sentences": [f"Sentence {n}." for n in range(25)]}
        for label in ("SUPPORTED", "PARTIAL", "NOT_SUPPORTED")
    ]
    (tmp_path / "claims.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    cases = read_cases(tmp_path)
    assert [(it.kind, it.holds) for case in cases for it in case.statements] == [
        ("supported", True),
        ("not_supported", False),
    ]
    assert {len(case.passages) for case in cases} == {3}


def test_a_line_without_statements_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"passage": "A parcel."}\n', encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"mine\.jsonl line 1 has no passage with statements"):
        read_cases(path)

"""The benchmark of claims makes true and false statements by rules, and counts which are marked."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from extensions.claims.claim import Claim
from foundation.errors import InvalidRequest
from lab.bench.claims import OTHER, bench_claims, read_cases
from lab.bench.unfaithful import RULES, language_of

CORPUS = [
    {"_id": "d1", "title": "Parcels", "text": "A parcel takes 3 days. The carrier is Fennel Post."},
    {"_id": "d2", "title": "Hats", "text": "A hat costs 20 USD. It is made of felt by Mara Ellison in Leeds."},
]
QUESTIONS = [
    {"id": "q1", "question": "How long?", "doc_ids": ["d1"], "answers": ["A parcel takes 3 days."], "answerable": True},
    {"id": "q2", "question": "How much?", "doc_ids": ["d2"], "answers": ["A hat costs 20 USD."], "answerable": True},
    {"id": "q3", "question": "Who?", "doc_ids": ["d1"], "answers": [], "answerable": False},
]


def write(path: Path, rows: Sequence[object]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    write(tmp_path / "corpus.jsonl", CORPUS)
    write(tmp_path / "qa.jsonl", QUESTIONS)
    return tmp_path


def test_reference_answers_cite_their_passages_and_every_one_has_a_false_sister(questions: Path) -> None:
    cases = read_cases(questions)

    true = [case for case in cases if case.faithful]
    assert "A parcel takes 3 days. [1]" in [case.answer for case in true]
    assert all(case.passages[0].text == CORPUS[case.question == "How much?"]["text"] for case in true)
    false = [case for case in cases if not case.faithful]
    assert {case.kind for case in false} <= {*RULES, OTHER}
    assert not {(case.question, case.answer) for case in true} & {(case.question, case.answer) for case in false}


def test_the_halves_share_no_case_and_together_are_all(questions: Path) -> None:
    halves = [
        {case.answer for case in read_cases(questions, half=half) if case.faithful}
        for half in ("development", "report")
    ]

    assert not halves[0] & halves[1]
    assert halves[0] | halves[1] == {case.answer for case in read_cases(questions) if case.faithful}


def test_shares_are_those_that_one_counts_by_hand(questions: Path) -> None:
    def check(answer: str, passages, **_: object) -> list[Claim]:
        """Marks whatever does not stand in the first passage."""
        said = answer.split(" [", maxsplit=1)[0]
        return [Claim(0, len(answer), said, (1,), (), "" if said in passages[0].text else "figure")]

    found = bench_claims([questions], check, half="all")

    assert found["faithful_unmarked"] == found["unfaithful_marked"] == 1.0
    assert found["n"]["faithful_unmarked"] == found["n"]["unfaithful_marked"] > 0


def test_supported_claims_and_answers_with_full_marks_are_cases(tmp_path: Path) -> None:
    claims, judged = tmp_path / "claims", tmp_path / "judged"
    claims.mkdir()
    judged.mkdir()
    rows = [
        {"claim": "Boots are kept.", "label": "SUPPORTED", "evidence_sentences": ["x.", "Boots are kept."], "supporting_sets": [[1]]},
        {"claim": "Boots are gone.", "label": "PARTIAL", "evidence_sentences": ["x."], "supporting_sets": []},
    ]  # fmt: skip
    write(claims / "claims.jsonl", rows)
    write(judged / "corpus.jsonl", CORPUS)
    write(judged / "qa.jsonl", QUESTIONS)
    marks = [("q1", "In 3 days.", 4), ("q1", "By mule.", 1)]
    write(judged / "human_judgements.jsonl", [
        {"task_id": task, "response": text, "human": {"faithfulness": mark}} for task, text, mark in marks
    ])  # fmt: skip

    assert [case.answer for case in read_cases(claims) if case.faithful] == ["Boots are kept. [1]"]
    assert [(case.answer, case.faithful) for case in read_cases(judged)] == [("In 3 days.", True)]


def test_a_folder_without_true_answers_is_told(tmp_path: Path) -> None:
    write(tmp_path / "claims.jsonl", [])

    with pytest.raises(InvalidRequest, match="benchmarks"):
        read_cases(tmp_path)


@pytest.mark.parametrize(
    ("rule", "answer", "language"),
    [
        ("number", "It takes 30 days.", "en"),
        ("number_within", "It takes 30 days.", "en"),
        ("date", "It began in May 2012.", "en"),
        ("name", "It was made by Tom Marsh.", "en"),
        ("denied", "The desk is open.", "en"),
        ("denied", "Der Turm und das Tor ist offen.", "de"),
        ("denied", "La torre de la plaza es alta.", "es"),
        ("denied", "Он был купцом.", "ru"),
        ("denied", "这是塔。", "zh"),
        ("comparison", "Sales are higher.", "en"),
    ],
)
def test_each_rule_changes_one_thing(rule: str, answer: str, language: str) -> None:
    evidence, others = f"{answer} It costs 45 USD.", ["It was sold by Mara Ellison."]
    changed = RULES[rule](answer, evidence, others, random.Random(3))

    assert changed is not None
    assert changed != answer
    assert language_of(answer) == language


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_that_finds_nothing_says_so(rule: str) -> None:
    assert RULES[rule]("Hats!", "Hats!", [], random.Random(3)) is None

"""The benchmark of `verify` scores claims and answers as one works out by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from extensions.calibration.curves import fit_logistic
from extensions.development.hashing_embedder import HashingEmbedder
from foundation.errors import InvalidRequest
from lab.bench.verify import as_stored, bench_verify, read_claims, train_verify
from models.contract import ScoringParts
from models.entailment import signs
from models.entailment.signs import SIGNS
from models.scoring.logistic import LogisticCurve

CORPUS = [
    {"_id": "d1", "title": "Parcels", "text": "A parcel takes 3 days. The carrier is Fennel Post."},
    {"_id": "d2", "title": "Hats", "text": "A hat is made of felt and costs 20 USD in every shop of ours."},
]
CLAIMS = [
    {"claim": "A parcel takes 3 days.", "doc_ids": ["d1"], "label": "SUPPORTED"},
    {"claim": "A parcel takes 9 days.", "doc_ids": ["d1"], "label": "CONTRADICTED"},
    {"claim": "A hat is made of felt.", "doc_ids": ["d2"], "label": "supported"},
    {"claim": "Boots are waterproof.", "doc_ids": ["d2"], "label": "NOT_ENOUGH_INFO"},
    {"claim": "Nobody can check this.", "doc_ids": [], "label": "NOT_ENOUGH_INFO"},
]


def write(path: Path, rows: Sequence[object]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def claims(tmp_path: Path) -> Path:
    write(tmp_path / "corpus.jsonl", CORPUS)
    write(tmp_path / "claims.jsonl", CLAIMS)
    return tmp_path


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    write(tmp_path / "corpus.jsonl", CORPUS)
    write(tmp_path / "qa.jsonl", [{"id": "q1", "doc_ids": ["d1"]}, {"id": "q2", "doc_ids": []}])
    answers = [("q1", "A parcel takes 3 days. It comes by mule.", 4), ("q1", "By mule.", 1), ("q2", "No idea.", 1)]
    rows = [{"task_id": task, "response": said, "human": {"faithfulness": mark}} for task, said, mark in answers]
    write(tmp_path / "human_judgements.jsonl", rows)
    return tmp_path


def verbatim(sentences: Sequence[str], quotes: Sequence[str]) -> list[float]:
    """Supported is what stands there, word for word."""
    return [float(any(sentence in quote for quote in quotes)) for sentence in sentences]


def signs_judge(folder: Path, **options: object) -> signs.SignsJudge:
    parts = ScoringParts(data_dir=folder, embedder=HashingEmbedder(128))
    return signs.build(signs.Options.model_validate(options), parts)


def test_claims_are_checked_against_their_documents_and_scored_as_one_works_out_by_hand(claims: Path) -> None:
    found = bench_verify(claims, verbatim, threshold=0.5)

    assert (found["n"], found["n_without_evidence"]) == (4, 1)
    # the first is verbatim; of the hat the full stop is missing: one of two found, none wrongly
    assert (found["precision"], found["recall"], found["auc"]) == (1.0, 0.5, 0.75)
    assert found["labels"]["SUPPORTED"] == {"n": 2, "accepted": 0.5}


def test_a_claim_may_bring_its_evidence_along(tmp_path: Path) -> None:
    rows = [{"claim": "Yes.", "evidence_sentences": ["Yes.", "No."], "label": "SUPPORTED"}]
    write(tmp_path / "claims_dev.jsonl", rows)

    assert read_claims(tmp_path)[0].quotes == ("Yes.", "No.")


def test_an_answer_scores_the_mean_of_its_sentences_and_one_without_documents_is_left_out(judged: Path) -> None:
    seen: list[tuple[list[str], list[str]]] = []

    def support(sentences: Sequence[str], quotes: Sequence[str]) -> list[float]:
        seen.append((list(sentences), list(quotes)))
        return verbatim(sentences, quotes)

    found = bench_verify(judged, support, threshold=0.6)

    assert seen[0] == (["A parcel takes 3 days.", "It comes by mule."], [f"Parcels\n{CORPUS[0]['text']}"])
    assert (found["n"], found["n_without_evidence"], found["auc"]) == (2, 1, 1.0)
    assert (found["precision"], found["recall"]) == (None, 0.0)  # the mean, a half, is below the threshold
    assert found["auc_unfaithful"] == 1.0


@pytest.mark.parametrize(
    ("rows", "says"),
    [([{"claim": "x"}], "label"), ([{"claim": "x", "label": "SUPPORTED", "evidence_sentences": ["x"]}], "one outcome")],
)
def test_what_cannot_be_measured_is_told(tmp_path: Path, rows: list[object], says: str) -> None:
    write(tmp_path / "claims.jsonl", rows)

    with pytest.raises(InvalidRequest, match=says):
        bench_verify(tmp_path, verbatim, threshold=0.5)


def test_a_folder_without_claims_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"claims\.jsonl"):
        read_claims(tmp_path)


def test_training_gives_a_judge_that_tells_its_own_claims_apart_and_says_what_it_saw(claims: Path) -> None:
    stored = train_verify(claims / "claims.jsonl", signs_judge(claims))
    (claims / "own.json").write_text(json.dumps(stored))
    curve = LogisticCurve.of(stored, SIGNS)
    judge = signs_judge(claims, weights=claims / "own.json")

    def score(claim: str) -> float:
        (found,) = judge.signs([(CORPUS[0]["text"], claim)])
        assert found is not None
        return curve.score(found)

    assert score("A parcel takes 3 days.") > 0.5 > score("Boots are waterproof.")
    assert (stored["trained"]["claims"], stored["trained"]["supported"]) == (4, 2)


def test_a_curve_survives_being_stored() -> None:
    rows = np.random.default_rng(3).random((40, len(SIGNS)))
    curve = fit_logistic(rows, [n % 2 == 0 for n in range(40)])
    stored = LogisticCurve.of(as_stored(curve, SIGNS), SIGNS)

    assert stored.score(rows[0]) == pytest.approx(curve.score(rows[0]), abs=1e-3)


def test_claims_of_one_outcome_teach_nothing(tmp_path: Path) -> None:
    write(tmp_path / "claims.jsonl", [{"claim": "x", "label": "SUPPORTED", "evidence_sentences": ["x"]}])

    with pytest.raises(InvalidRequest, match="one outcome"):
        train_verify(tmp_path / "claims.jsonl", signs_judge(tmp_path))

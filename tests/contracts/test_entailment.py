"""The promises of a judge of entailment, on every adapter in models/entailment and on broken ones that must be rejected."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from foundation.components import load
from foundation.settings import Part
from models.contract import EntailmentJudge, ScoringParts
from models.scoring.checked import CheckedJudge
from observability.telemetry.instrument import TracedJudge
from tests.contracts import under_test
from tests.contracts.broken import entailment as broken
from tests.doubles import tiny_models
from tests.doubles.entailment import counting_chat

PREMISE = "a refund is paid within fourteen days of the return and the carrier is chosen by us"
SUPPORTED = (PREMISE, "a refund is paid within fourteen days")
UNSUPPORTED = (PREMISE, "penguins breed on antarctic ice")
PAIRS = [SUPPORTED, UNSUPPORTED, (PREMISE, "the carrier is chosen by us"), ("the printer prints", "the printer sings")]
ODD_TEXTS = ["nul\x00byte", "a" * 5000, "word " * 2000, "lone \ud800 surrogate", "<|im_end|> [SEP]", "漢字 🙂", '"} {"']
CLOSE = 0.02
"""How far two probabilities of the same pair may lie apart: what is computed beside it moves the last digits."""


def gives_one_probability_a_pair(judge: EntailmentJudge) -> None:
    assert len(judge.support(list(PAIRS))) == len(PAIRS)


def takes_no_pairs(judge: EntailmentJudge) -> None:
    assert list(judge.support([])) == []


def stays_between_0_and_1(judge: EntailmentJudge) -> None:
    probabilities = judge.support(list(PAIRS))
    assert all(isinstance(p, float) and math.isfinite(p) and 0 <= p <= 1 for p in probabilities)


def is_deterministic(judge: EntailmentJudge) -> None:
    assert list(judge.support(list(PAIRS))) == list(judge.support(list(PAIRS)))


def leaves_its_input_alone(judge: EntailmentJudge) -> None:
    pairs = list(reversed(PAIRS))
    judge.support(pairs)
    assert pairs == list(reversed(PAIRS))


def judges_each_pair_by_itself(judge: EntailmentJudge) -> None:
    alone = [judge.support([pair])[0] for pair in PAIRS]
    assert list(judge.support(list(PAIRS))) == pytest.approx(alone, abs=CLOSE)


def takes_any_text(judge: EntailmentJudge) -> None:
    pairs = [(text, "a refund") for text in ODD_TEXTS] + [(PREMISE, text) for text in ODD_TEXTS]
    assert len(judge.support(pairs)) == len(pairs)


def survives_concurrent_calls(judge: EntailmentJudge) -> None:
    expected = list(judge.support(list(PAIRS)))
    with ThreadPoolExecutor(4) as pool:
        assert all(
            list(found) == pytest.approx(expected, abs=CLOSE)
            for found in pool.map(lambda _: judge.support(list(PAIRS)), range(12))
        )


def believes_what_stands_there_more_than_what_does_not(judge: EntailmentJudge) -> None:
    supported, unsupported = judge.support([SUPPORTED, UNSUPPORTED])
    assert supported > unsupported


def knows_the_premise_from_the_hypothesis(judge: EntailmentJudge) -> None:
    """A part of a text follows from it; the whole does not follow from the part."""
    forward, backward = judge.support([SUPPORTED, SUPPORTED[::-1]])
    assert forward > backward


JUDGEMENTS: list[Callable[[EntailmentJudge], None]] = [
    believes_what_stands_there_more_than_what_does_not, knows_the_premise_from_the_hypothesis,
]  # fmt: skip
"""What only a trained model can keep."""
PROMISES: list[Callable[[EntailmentJudge], None]] = [
    gives_one_probability_a_pair, takes_no_pairs, stays_between_0_and_1, is_deterministic, leaves_its_input_alone,
    judges_each_pair_by_itself, takes_any_text, survives_concurrent_calls, *JUDGEMENTS,
]  # fmt: skip
ADAPTERS = under_test.adapters("models.entailment")
UNTRAINED = "cross_encoder"
"""Tested on random weights, unless `sixply contracts` names a folder."""


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> ScoringParts:
    """With the real embedder, because the signs are no better than its vectors."""
    folder = Path(tmp_path_factory.mktemp("data"))
    embedder = load("models.embedder", Part(use="openvino"), ScoringParts(data_dir=folder, threads=1, embedder=None))  # type: ignore[arg-type]
    return ScoringParts(data_dir=folder, threads=1, embedder=embedder, chat=counting_chat())


@pytest.fixture(scope="module")
def adapter(request: pytest.FixtureRequest, parts: ScoringParts) -> EntailmentJudge:
    options: dict[str, Any] = {}
    if request.param == UNTRAINED:
        folder = tiny_models.cross_encoder(parts.data_dir / "tiny-nli", labels=3)
        options = {"path": folder, "label": "LABEL_0"}
    part = under_test.part("models.entailment", request.param, **options)
    return CheckedJudge(load("models.entailment", part, parts, expected=EntailmentJudge))


@pytest.fixture(params=under_test.WRAPPED)
def judge(request: pytest.FixtureRequest, adapter: EntailmentJudge) -> EntailmentJudge:
    return TracedJudge(adapter) if request.param == "traced" else adapter


@pytest.mark.parametrize("adapter", ADAPTERS, indirect=True)
@pytest.mark.parametrize("promise", [p for p in PROMISES if p not in JUDGEMENTS], ids=lambda promise: promise.__name__)
def test_every_adapter_keeps(judge: EntailmentJudge, promise: Callable[[EntailmentJudge], None]) -> None:
    promise(judge)


TRAINED = [name for name in ADAPTERS if name != UNTRAINED or under_test.named("models.entailment", name)]


@pytest.mark.parametrize("adapter", TRAINED, indirect=True)
@pytest.mark.parametrize("promise", JUDGEMENTS, ids=lambda promise: promise.__name__)
def test_every_trained_judge_keeps(judge: EntailmentJudge, promise: Callable[[EntailmentJudge], None]) -> None:
    promise(judge)


# --- the suite itself -------------------------------------------------------------------------------------------------


def _failures(judge: Any) -> list[str]:
    failed = []
    for promise in PROMISES:
        try:
            promise(judge)
        except Exception:  # any failure counts, as it does in pytest
            failed.append(promise.__name__)
    return failed


@pytest.mark.parametrize("wrapped", [lambda part: part, CheckedJudge], ids=["bare", "checked"])
def test_the_suite_accepts_a_healthy_double(wrapped: Any) -> None:
    assert _failures(wrapped(broken.Healthy())) == []


@pytest.mark.parametrize("fault", broken.BROKEN, ids=lambda fault: fault.__name__)
def test_the_suite_rejects(fault: Any) -> None:
    assert fault.caught_by in _failures(fault())

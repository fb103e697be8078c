"""The promises of a reranker, on every adapter in models/rerankers, on LangChain's document compressors, and on broken
ones that must be rejected.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from foundation.components import load
from foundation.errors import InvalidSetting
from foundation.settings import Part
from models.contract import Reranker, ScoringParts
from models.scoring.checked import reranker_of
from observability.telemetry.instrument import TracedReranker
from tests.contracts import under_test
from tests.contracts.broken import reranker as broken
from tests.doubles import tiny_models

QUERY = "when is a refund paid"
TEXTS = ["the printer prints", "a refund is paid within fourteen days", "", "漢字 🙂", "a refund"]
ODD_TEXTS = [" ", "\n\n", "nul\x00byte", "a" * 5000, "word " * 2000, "lone \ud800 surrogate", "<|im_end|> [SEP]"]


def gives_one_score_a_text(reranker: Reranker) -> None:
    assert len(reranker.score(QUERY, list(TEXTS))) == len(TEXTS)


def takes_no_texts(reranker: Reranker) -> None:
    assert reranker.score(QUERY, []) == []


def is_deterministic(reranker: Reranker) -> None:
    assert reranker.score(QUERY, list(TEXTS)) == reranker.score(QUERY, list(TEXTS))


def gives_finite_numbers(reranker: Reranker) -> None:
    assert all(isinstance(score, float) and math.isfinite(score) for score in reranker.score(QUERY, list(TEXTS)))


def leaves_its_input_alone(reranker: Reranker) -> None:
    given = list(TEXTS)
    reranker.score(QUERY, given)
    assert given == TEXTS


def takes_an_empty_query(reranker: Reranker) -> None:
    assert len(reranker.score("", list(TEXTS))) == len(TEXTS)


def takes_any_text(reranker: Reranker) -> None:
    assert len(reranker.score(QUERY, ODD_TEXTS)) == len(ODD_TEXTS)
    for text in ODD_TEXTS:
        assert len(reranker.score(text, ["a refund"])) == 1


def scores_each_text_in_its_place(reranker: Reranker) -> None:
    """A score belongs to its text, not to the order in which the scores were found. What scores by position alone, as
    no reranking does, gives the same scores in any order and keeps this promise too.
    """
    shuffled = random.Random(7).sample(range(len(TEXTS)), len(TEXTS))
    straight, moved = reranker.score(QUERY, list(TEXTS)), reranker.score(QUERY, [TEXTS[at] for at in shuffled])
    assert moved == pytest.approx([straight[at] for at in shuffled], abs=1e-4) or moved == straight


def survives_concurrent_calls(reranker: Reranker) -> None:
    expected = reranker.score(QUERY, list(TEXTS))
    with ThreadPoolExecutor(4) as pool:
        assert all(
            scores == pytest.approx(expected, abs=1e-4)
            for scores in pool.map(lambda _: reranker.score(QUERY, list(TEXTS)), range(12))
        )


PROMISES: list[Callable[[Reranker], None]] = [
    gives_one_score_a_text, takes_no_texts, is_deterministic, gives_finite_numbers, leaves_its_input_alone,
    takes_an_empty_query, takes_any_text, scores_each_text_in_its_place, survives_concurrent_calls,
]  # fmt: skip

COMPRESSORS = ("tests.doubles.compressors:Scored", "tests.doubles.compressors:Ordered")
# Where nobody named it, "none" is left out: it claims nothing, and a test below says so
ADAPTERS = [
    use
    for use in under_test.adapters("models.reranker", *COMPRESSORS)
    if use != "none" or "models.reranker" in under_test.NAMED
]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> ScoringParts:
    """With the real embedder, because late interaction is no better than its token vectors."""
    folder = Path(tmp_path_factory.mktemp("data"))
    embedder = load("models.embedder", Part(use="openvino"), ScoringParts(data_dir=folder, threads=1, embedder=None))  # type: ignore[arg-type]
    return ScoringParts(data_dir=folder, threads=1, embedder=embedder)


@pytest.fixture(scope="module", params=ADAPTERS)
def adapter(request: pytest.FixtureRequest, parts: ScoringParts) -> Reranker:
    options: dict[str, Any] = {}
    if request.param == "cross_encoder":
        options["path"] = tiny_models.cross_encoder(parts.data_dir / "tiny-cross-encoder")
    made = load("models.reranker", under_test.part("models.reranker", request.param, **options), parts)
    return _check_made(request.param, made)


def _check_made(use: str, made: object) -> Reranker:
    if use == "none":
        assert made is None
        # only `make contracts` gets here, and reports it; the suite itself leaves "none" out
        pytest.skip("not claimed: it says that nothing is reranked")
    return reranker_of(made)


@pytest.fixture(params=under_test.WRAPPED)
def reranker(request: pytest.FixtureRequest, adapter: Reranker) -> Reranker:
    return TracedReranker(adapter) if request.param == "traced" else adapter


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_every_adapter_keeps(reranker: Reranker, promise: Callable[[Reranker], None]) -> None:
    promise(reranker)


# --- the suite itself -------------------------------------------------------------------------------------------------


def test_only_none_may_make_nothing() -> None:
    with pytest.raises(InvalidSetting, match="NoneType"):
        _check_made("cross_encoder", None)
    with pytest.raises(AssertionError):
        _check_made("none", broken.Healthy())


def _failures(reranker: Reranker) -> list[str]:
    failed = []
    for promise in PROMISES:
        try:
            promise(reranker)
        except Exception:  # any failure counts, as it does in pytest
            failed.append(promise.__name__)
    return failed


@pytest.mark.parametrize("wrapped", [lambda part: part, reranker_of], ids=["bare", "checked"])
def test_the_suite_accepts_a_healthy_double(wrapped: Any) -> None:
    assert _failures(wrapped(broken.Healthy())) == []


@pytest.mark.parametrize("fault", broken.BROKEN, ids=lambda fault: fault.__name__)
def test_the_suite_rejects(fault: Any) -> None:
    assert fault.caught_by in _failures(fault())

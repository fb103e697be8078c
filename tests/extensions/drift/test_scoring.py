"""Scores of answers in production."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from extensions.development.hashing_embedder import HashingEmbedder
from extensions.drift.scoring import SIGNS, OnlineScorer, is_sampled, signature
from extensions.drift.span_names import EVALUATION_ERROR
from extensions.reports.span_names import ANSWER_SUPPORT, QUESTION_SIGNATURE
from foundation.errors import UpstreamDown
from foundation.types import Principal
from observability.stores import history
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from orchestration.run import answering
from retrieval.documents import Citation
from retrieval.grounding.evidence import Grounding
from retrieval.settings import GroundingSettings
from serving.settings import load
from serving.wiring import open_system
from tests.doubles import stacks
from tests.doubles.entailment import signs_over

QUOTE = "The depot keeps parcels for 14 days."


def answer(text: str = "The depot keeps parcels for 14 days.", **more: Any) -> Answer:
    cited = Citation(
        marker=1, document_id="d", chunk_id="c", uri="d.md", title="D", start=0, end=len(QUOTE), quote=QUOTE
    )
    given = {
        "answer_id": "a-1",
        "thread_id": "t",
        "question": "How long are parcels kept?",
        "status": "answered",
        "stop_reason": "complete",
        "text": text,
        "path": "generative",
        "citations": (cited,),
    }
    return Answer(**(given | more))


def parts(embedder: HashingEmbedder) -> Any:
    """Of an agent's parts, those that a scorer looks at."""
    grounding = Grounding(embedder, signs_over(embedder), GroundingSettings())
    return SimpleNamespace(embedder=embedder, grounding=grounding)


def score(answer: Answer) -> Mapping[str, Any]:
    return OnlineScorer(1.0).score(answer, parts(HashingEmbedder(64)))


def test_a_written_answer_gets_its_support_and_a_wrong_one_gets_less() -> None:
    right, wrong = score(answer()), score(answer("The depot keeps parcels for 90 days."))
    assert right[ANSWER_SUPPORT] > wrong[ANSWER_SUPPORT]
    assert len(right[QUESTION_SIGNATURE]) == SIGNS


@pytest.mark.parametrize("more", [{"path": "extractive"}, {"status": "abstained", "citations": (), "path": "none"}])
def test_a_quote_is_its_source_and_what_was_not_answered_has_no_support(more: Any) -> None:
    assert score(answer(**more)).keys() == {QUESTION_SIGNATURE}


def test_a_part_that_fails_costs_the_score_and_not_the_answer() -> None:
    class Down(HashingEmbedder):
        def embed_query(self, text: str) -> list[float]:
            raise UpstreamDown(f"no embedder for {len(text)} characters")

    assert OnlineScorer(1.0).score(answer(), parts(Down(64))) == {EVALUATION_ERROR: "upstream_down"}


@pytest.mark.parametrize(("share", "signs"), [(1.0, SIGNS), (0.0, 0)])
def test_an_answer_carries_its_scores_on_its_span(tmp_path: Path, share: float, signs: int) -> None:
    stack = stacks.stack(tmp_path, f"[drift]\nscored_share = {share}", extensions=["drift", "feedback", "reports"])
    with open_system(load(stack)) as system:
        asked = AnswerRequest(question="How long are parcels kept?")
        asyncio.run(answering.answer(system.agent, asked, Principal("ada", "north", frozenset({"reader"}))))
        system.observability.telemetry.flush()
        scored = history.last_of(system.observability.spans, QUESTION_SIGNATURE)
    assert [len(signature) for signature in scored.values()] == ([signs] if signs else [])


def test_a_share_of_the_answers_is_scored_the_same_ones_everywhere() -> None:
    chosen = {f"a-{number}" for number in range(2000) if is_sampled(f"a-{number}", 0.25)}
    assert 400 < len(chosen) < 600
    assert chosen == {f"a-{number}" for number in range(2000) if is_sampled(f"a-{number}", 0.25)}
    assert not any(is_sampled(f"a-{number}", 0.0) for number in range(100))


def test_near_questions_have_near_signatures() -> None:
    random = np.random.default_rng(1)
    one = random.standard_normal(384)
    other = random.standard_normal(384)
    near = one + 0.1 * random.standard_normal(384)
    first, second, third = (np.array(signature(each / np.linalg.norm(each))) for each in (one, near, other))
    assert np.linalg.norm(first - second) < np.linalg.norm(first - third) / 3

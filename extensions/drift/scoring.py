"""Scores of answers in production, as attributes of their spans: support by citations, and a signature of the question for `make drift`."""

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from extensions.drift.span_names import EVALUATION_ERROR
from extensions.reports.span_names import ANSWER_SUPPORT, QUESTION_SIGNATURE
from foundation.errors import SixplyError
from foundation.text.sentences import sentence_spans
from models.embedding import embed_query
from orchestration.contract import AgentParts, AnswerScorer
from orchestration.events import Answer

# Numbers in a signature. Enough to separate topics, far too few to reveal the question.
SIGNS = 8


class OnlineScorer(AnswerScorer):
    """Scores a sample of the answers, chosen by id, so that every process chooses the same ones."""

    def __init__(self, share: float) -> None:
        self._share = share

    def score(self, answer: Answer, parts: AgentParts) -> Mapping[str, Any]:
        """Return attributes for the answer's span. A failure here costs the score, never the answer."""
        if not is_sampled(answer.answer_id, self._share):
            return {}
        try:
            scores: dict[str, Any] = {QUESTION_SIGNATURE: signature(embed_query(parts.embedder, answer.question))}
            sentences = [answer.text[start:end] for start, end in sentence_spans(answer.text)]
            # quotes need no check: they stand in the document as they are
            if sentences and (answer.path, answer.status) == ("generative", "answered"):
                quotes = [citation.quote for citation in answer.citations]
                scores[ANSWER_SUPPORT] = float(np.mean(parts.grounding.support(sentences, quotes)))
        except SixplyError as error:
            return {EVALUATION_ERROR: error.code}
        return scores


def is_sampled(answer_id: str, share: float) -> bool:
    """Whether this answer belongs to the scored sample."""
    return int.from_bytes(hashlib.sha256(answer_id.encode()).digest()[:8]) < share * 2**64


def signature(vector: npt.NDArray[np.float32]) -> tuple[float, ...]:
    """Return the vector's projections on a few fixed random directions (Johnson and Lindenstrauss 1984)."""
    return tuple(round(float(value), 3) for value in vector @ _directions(len(vector)))


@cache
def _directions(size: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(0).standard_normal((size, SIGNS))

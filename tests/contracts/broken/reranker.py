"""Rerankers with one fault each, and the promise that must catch it."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence


class Healthy:
    """Counts shared words."""

    caught_by: str | None = None

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        words = set(query.split())
        return [float(len(words & set(text.split()))) for text in texts]


class DropsTheWorst(Healthy):
    caught_by = "gives_one_score_a_text"

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return super().score(query, texts)[:2]


class ChokesOnNoTexts(Healthy):
    caught_by = "takes_no_texts"

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        longest = max(len(text) for text in texts)
        return [score / (1 + longest) for score in super().score(query, texts)]


class Rolls(Healthy):
    caught_by = "is_deterministic"

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [random.random() for _ in texts]  # the fault


class NotANumber(Healthy):
    caught_by = "gives_finite_numbers"

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [float("nan") for _ in texts]


class SortsItsInput(Healthy):
    caught_by = "leaves_its_input_alone"

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        texts.sort()  # type: ignore[attr-defined]  # the fault
        return super().score(query, texts)


class ScoresInTheOrderFound(Healthy):
    """Sorts, and forgets whose score was whose."""

    caught_by = "scores_each_text_in_its_place"

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return (
            sorted(super().score(query, texts), reverse=True)[::-1] if texts[0] > "b" else super().score(query, texts)
        )


class ChokesOnUnicode(Healthy):
    caught_by = "takes_any_text"

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        for text in (query, *texts):
            text.encode("utf-8")
        return super().score(query, texts)


class DividesByTheQuery(Healthy):
    caught_by = "takes_an_empty_query"

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [score / len(query.split()) for score in super().score(query, texts)]


class SharesABuffer(Healthy):
    """Two calls at the same time write into the same list."""

    caught_by = "survives_concurrent_calls"
    buffer: list[float] = []  # noqa: RUF012  # the fault

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        self.buffer.clear()
        for score in super().score(query, texts):
            self.buffer.append(score)
            time.sleep(0.0001)
        return list(self.buffer)


BROKEN = [
    DropsTheWorst, ChokesOnNoTexts, Rolls, NotANumber, SortsItsInput, ScoresInTheOrderFound, ChokesOnUnicode,
    DividesByTheQuery, SharesABuffer,
]  # fmt: skip

"""Judges of entailment with one fault each, and the promise that must catch it."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

Pairs = Sequence[tuple[str, str]]


class Healthy:
    """The share of the hypothesis's words that the premise has."""

    caught_by: str | None = None

    def support(self, pairs: Pairs) -> list[float]:
        return [self.share(premise.split(), hypothesis.split()) for premise, hypothesis in pairs]

    def share(self, premise: list[str], hypothesis: list[str]) -> float:
        return len(set(hypothesis) & set(premise)) / max(1, len(set(hypothesis)))


class DropsTheUnsupported(Healthy):
    caught_by = "gives_one_probability_a_pair"

    def support(self, pairs: Pairs) -> list[float]:
        return [probability for probability in super().support(pairs) if probability]


class ChokesOnNoPairs(Healthy):
    caught_by = "takes_no_pairs"

    def support(self, pairs: Pairs) -> list[float]:
        most = max(len(premise) for premise, _ in pairs)
        return [probability * most / most for probability in super().support(pairs)]


class GivesLogits(Healthy):
    caught_by = "stays_between_0_and_1"

    def support(self, pairs: Pairs) -> list[float]:
        return [8 * probability - 4 for probability in super().support(pairs)]


class NotANumber(Healthy):
    caught_by = "stays_between_0_and_1"

    def support(self, pairs: Pairs) -> list[float]:
        return [float("nan") for _ in pairs]


class Rolls(Healthy):
    caught_by = "is_deterministic"

    def support(self, pairs: Pairs) -> list[float]:
        return [random.random() for _ in pairs]  # the fault


class SortsItsInput(Healthy):
    caught_by = "leaves_its_input_alone"

    def support(self, pairs: Pairs) -> list[float]:
        pairs.sort()  # type: ignore[attr-defined]  # the fault
        return super().support(pairs)


class SharesOutAmongThePairs(Healthy):
    """A softmax over the batch: what stands beside a pair changes what is said of it."""

    caught_by = "judges_each_pair_by_itself"

    def support(self, pairs: Pairs) -> list[float]:
        shares = super().support(pairs)
        return [share / max(1.0, sum(shares)) for share in shares]


class AnswersInTheOrderFound(Healthy):
    caught_by = "judges_each_pair_by_itself"

    def support(self, pairs: Pairs) -> list[float]:
        return sorted(super().support(pairs), reverse=True)


class ChokesOnUnicode(Healthy):
    caught_by = "takes_any_text"

    def support(self, pairs: Pairs) -> list[float]:
        for text in (text for pair in pairs for text in pair):
            text.encode("ascii")
        return super().support(pairs)


class BelievesEverything(Healthy):
    caught_by = "believes_what_stands_there_more_than_what_does_not"

    def support(self, pairs: Pairs) -> list[float]:
        return [1.0 for _ in pairs]


class SwapsTheSides(Healthy):
    """Asks whether the sentence supports the text."""

    caught_by = "knows_the_premise_from_the_hypothesis"

    def support(self, pairs: Pairs) -> list[float]:
        return super().support([(hypothesis, premise) for premise, hypothesis in pairs])


class SharesABuffer(Healthy):
    """Two calls at the same time write into the same list."""

    caught_by = "survives_concurrent_calls"
    buffer: list[float] = []  # noqa: RUF012  # the fault

    def support(self, pairs: Pairs) -> list[float]:
        self.buffer.clear()
        for probability in super().support(pairs):
            self.buffer.append(probability)
            time.sleep(0.0001)
        return list(self.buffer)


BROKEN = [
    DropsTheUnsupported, ChokesOnNoPairs, GivesLogits, NotANumber, Rolls, SortsItsInput, SharesOutAmongThePairs,
    AnswersInTheOrderFound, ChokesOnUnicode, BelievesEverything, SwapsTheSides, SharesABuffer,
]  # fmt: skip

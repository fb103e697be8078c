"""Any judge of entailment as one that keeps the port's promises: its results checked, its errors translated."""

from __future__ import annotations

import math
from collections.abc import Sequence

from foundation.errors import UpstreamMalformed
from foundation.text.lexical import words
from models.contract import EntailmentJudge
from models.embedding import name_of, readable
from models.resilience.vendor_errors import translated


class CheckedJudge:
    """Delegates what has words on both sides, and lets nothing through that is no probability."""

    def __init__(self, inner: EntailmentJudge) -> None:
        self.inner = inner
        self.model_name = name_of(inner)

    def support(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """As the port promises.

        Raises:
            UpstreamMalformed: another number of probabilities came back, or one that is not from 0 to 1.
            ComponentError: the model behind it failed; the vendor's exception is the cause.
        """
        asked = {place: pair for place, pair in enumerate(pairs) if all(map(words, pair))}
        if not asked:
            return [0.0] * len(pairs)
        texts = readable([text for pair in asked.values() for text in pair])
        with translated(self.model_name):
            answers = self.inner.support(list(zip(texts[::2], texts[1::2], strict=True)))
            probabilities = [float(answer) for answer in answers]
        if len(probabilities) != len(asked) or not all(math.isfinite(p) and 0 <= p <= 1 for p in probabilities):
            raise UpstreamMalformed(
                f"{self.model_name} returned {len(probabilities)} probabilities for {len(asked)} pairs, or one that is not "
                f"from 0 to 1. Try again; if it stays, check the model."
            )
        by_place = dict(zip(asked, probabilities, strict=True))
        return [by_place.get(place, 0.0) for place in range(len(pairs))]

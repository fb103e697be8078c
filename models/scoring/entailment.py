"""Any judge of entailment as one that keeps the port's promises: its results checked, its errors translated."""

from __future__ import annotations

import math
from collections.abc import Sequence

from foundation.errors import SixplyError, UpstreamMalformed
from foundation.text.lexical import words
from models.contract import EntailmentJudge
from models.embedding import name_of, readable
from models.resilience.vendor_errors import translate


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
        asked = [place for place, (premise, hypothesis) in enumerate(pairs) if words(premise) and words(hypothesis)]
        probabilities = [0.0] * len(pairs)
        for place, probability in zip(asked, self._ask([pairs[place] for place in asked]), strict=True):
            probabilities[place] = probability
        return probabilities

    def _ask(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        if not pairs:
            return []
        try:
            texts = readable([text for pair in pairs for text in pair])
            answers = self.inner.support(list(zip(texts[::2], texts[1::2], strict=True)))
            probabilities = [float(answer) for answer in answers]
        except (SixplyError, NotImplementedError):  # the latter says of itself what is not written yet
            raise
        except Exception as error:  # every vendor has exceptions of its own; `translate` knows them
            raise translate(error, model=self.model_name) from error
        if len(probabilities) != len(pairs) or not all(math.isfinite(p) and 0 <= p <= 1 for p in probabilities):
            raise UpstreamMalformed(
                f"{self.model_name} returned {len(probabilities)} probabilities for {len(pairs)} pairs, or one that is not "
                f"from 0 to 1. Try again; if it stays, check the model."
            )
        return probabilities

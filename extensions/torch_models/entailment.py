"""A judge of entailment by any NLI classifier from a local folder (`path`), with torch on the CPU.

It reads premise and hypothesis together and sees a contradiction that shares every word: Bowman et al., "A large
annotated corpus for learning natural language inference", 2015. None is bundled: no package has weights that could be
trusted. A sentence takes half a second.
"""

from collections.abc import Sequence

import numpy as np

from extensions.torch_models.loading import CLASSIFIES, ClassifierOptions, PairClassifier, read_labels
from foundation.errors import WeightsInvalid
from models.contract import EntailmentJudge, ScoringParts


class Options(ClassifierOptions):
    """Options of a classifier with one output, high for supported sentences, or with several."""

    label: str = "entailment"
    """Name of the output that means "supported", in any case."""


class CrossEncoderJudge:
    """Returns the model's own probabilities, not calibrated. Thread-safe."""

    def __init__(self, model: PairClassifier, place: int) -> None:
        self.model_name = model.name
        self._model, self._place = model, place

    def support(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        if not pairs:
            return []
        logits = np.asarray(self._model.logits(pairs), dtype=np.float64)
        if logits.ndim == 1:
            return [float(p) for p in 1 / (1 + np.exp(-logits))]
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return [float(p) for p in shares[:, self._place] / shares.sum(axis=1)]


def build(options: Options, context: ScoringParts) -> EntailmentJudge:
    """Check and load the weights. Raises WeightsInvalid: a file is missing or pickled, or the model has no `label`."""
    kind, labels = read_labels(options.path)
    places = [place for place, label in enumerate(labels) if label.casefold() == options.label.casefold()]
    if not kind.endswith(CLASSIFIES) or (len(labels) > 1 and not places):
        raise WeightsInvalid(
            f"{options.path} holds a {kind} with the outputs {', '.join(labels)}. A judge is a classifier with one "
            f'output, or with one called "{options.label}": name it as `label` in [models.entailment].'
        )
    return CrossEncoderJudge(PairClassifier(options, context), places[0] if places else 0)

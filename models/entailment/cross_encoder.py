"""Any classifier of natural language inference from a local folder, by torch on the CPU.

    [models.entailment]
    use = "cross_encoder"
    path = "weights/nli-deberta-v3-base"

It reads premise and hypothesis together and sees a contradiction that shares every word: Bowman et al., "A large annotated
corpus for learning natural language inference", 2015. None is bundled: no package carries the weights of one that could be
trusted. Choose it where answers are written by a strong model and half a second a sentence is not too much.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from foundation.errors import WeightsInvalid
from foundation.settings import Section
from models.contract import EntailmentJudge, EntailmentParts
from models.encoders.classifier import ClassifierFolder, PairClassifier, open_classifier


class Options(Section):
    path: Path
    """A folder with a sequence classifier in safetensors and its tokenizer: one output that is high for what is supported,
    or several of which one is called as `label` says."""
    label: str = "entailment"
    """The output that means "supported", in any case of letters."""
    batch_size: int = Field(default=8, ge=1)
    max_tokens: int | None = Field(default=None, ge=8)
    """Premise and hypothesis together are cut here, the longer one first; `None` is the model's own limit."""
    threads: int | None = Field(default=None, ge=1)


class CrossEncoderJudge:
    """Probabilities are the model's own, not calibrated. Safe to call from several threads."""

    def __init__(self, model: PairClassifier, *, name: str, place: int) -> None:
        self.model_name = name
        self._model = model
        self._place = place

    def support(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        if not pairs:
            return []
        logits = np.asarray(self._model.logits(pairs), dtype=np.float64)
        if logits.ndim == 1:
            return [float(p) for p in 1 / (1 + np.exp(-logits))]
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return [float(p) for p in shares[:, self._place] / shares.sum(axis=1)]


def build(options: Options, context: EntailmentParts) -> EntailmentJudge:
    """Check the weights, then load them. Raises WeightsInvalid for a missing or pickled file, or a model without `label`."""
    folder = ClassifierFolder.checked(options.path)
    names = [label.casefold() for label in folder.labels]
    if not folder.classifies or (len(names) > 1 and options.label.casefold() not in names):
        raise WeightsInvalid(
            f"{folder.path} holds a {folder.kind} with the outputs {', '.join(folder.labels)}. A judge is a classifier with "
            f'one output, or with one called "{options.label}": name it as `label` in [models.entailment].'
        )
    model = open_classifier(
        folder,
        batch_size=options.batch_size,
        max_tokens=options.max_tokens,
        threads=options.threads or context.threads,
    )
    place = names.index(options.label.casefold()) if len(names) > 1 else 0
    return CrossEncoderJudge(model, name=folder.path.name, place=place)

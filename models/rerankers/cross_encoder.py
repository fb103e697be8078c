"""Any sentence-transformers CrossEncoder from a local folder, by torch on the CPU.

    [models.reranker]
    use = "cross_encoder"
    path = "weights/ms-marco-MiniLM-L6-v2"

A cross-encoder reads query and text together: Nogueira and Cho, "Passage Re-ranking with BERT", 2019. None is bundled:
no package carries the weights of one that could be trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from foundation.components import Context
from foundation.errors import WeightsInvalid
from foundation.settings import Section
from models.contract import Reranker
from models.encoders.classifier import ClassifierFolder, PairClassifier, open_classifier


class Options(Section):
    path: Path
    """A folder with a sequence classifier of one output, in safetensors, and its tokenizer."""
    batch_size: int = Field(default=8, ge=1)
    max_tokens: int | None = Field(default=None, ge=8)
    """Query and text together are cut here; `None` is the model's own limit."""
    threads: int | None = Field(default=None, ge=1)


class CrossEncoderReranker:
    """Scores are the model's logits, on no fixed scale. Safe to call from several threads."""

    def __init__(self, model: PairClassifier, *, name: str) -> None:
        self.model_name = name
        self._model = model

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        if not texts:
            return []
        return [float(logit) for logit in self._model.logits([(query, text) for text in texts])]


def build(options: Options, context: Context) -> Reranker:
    """Check the weights, then load them. Raises WeightsInvalid for a missing or pickled file, or another kind of model."""
    folder = ClassifierFolder.checked(options.path)
    if not folder.classifies or len(folder.labels) != 1:
        raise WeightsInvalid(
            f"{folder.path} holds a {folder.kind} with {len(folder.labels)} outputs. A cross-encoder is a classifier with "
            f"one output: ...ForSequenceClassification with one label."
        )
    model = open_classifier(
        folder,
        batch_size=options.batch_size,
        max_tokens=options.max_tokens,
        threads=options.threads or context.threads,
    )
    return CrossEncoderReranker(model, name=folder.path.name)

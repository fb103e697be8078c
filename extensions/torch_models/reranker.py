"""A reranker by any sentence-transformers CrossEncoder from a local folder (`path`), with torch on the CPU.

It reads query and text together: Nogueira and Cho, "Passage Re-ranking with BERT", 2019. None is bundled: no
package has weights that could be trusted.
"""

from collections.abc import Sequence

from extensions.torch_models.loading import CLASSIFIES, PairClassifier, read_labels
from extensions.torch_models.loading import ClassifierOptions as Options
from foundation.components import Context
from foundation.errors import WeightsInvalid
from models.contract import Reranker


class CrossEncoderReranker:
    """Scores by the model's logits, on no fixed scale. Thread-safe."""

    def __init__(self, model: PairClassifier) -> None:
        self.model_name = model.name
        self._model = model

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [float(logit) for logit in self._model.logits([(query, text) for text in texts])] if texts else []


def build(options: Options, context: Context) -> Reranker:
    """Check and load the weights. Raises WeightsInvalid: a file is missing or pickled, or it is another kind of model."""
    kind, labels = read_labels(options.path)
    if not kind.endswith(CLASSIFIES) or len(labels) != 1:
        raise WeightsInvalid(
            f"{options.path} holds a {kind} with {len(labels)} outputs. A cross-encoder is a classifier with one output: "
            f"...{CLASSIFIES} with one label."
        )
    return CrossEncoderReranker(PairClassifier(options, context))

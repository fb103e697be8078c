"""A reranker by MaxSim over the token vectors of the system's own embedder, without a second model.

Each token of the query looks for its nearest token in the text; the mean of those cosines is the score: Khattab and
Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction over BERT", SIGIR 2020.
It costs the embedding of every text. The bundled model loses by it; choose it with an embedder that was trained for token vectors.
"""

from collections.abc import Sequence

from langchain_core.embeddings import Embeddings

from foundation.errors import InvalidSetting
from foundation.settings import Section as Options  # it takes none
from models.contract import Reranker, ScoringParts
from models.embedding import embed_tokens, name_of, nearest_tokens


class LateInteraction:
    """Scores from 0 to 1. As thread-safe as the embedder."""

    def __init__(self, embedder: Embeddings) -> None:
        self.model_name = f"late interaction of {name_of(embedder)}"
        self._embedder = embedder

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        if not texts:
            return []
        query_tokens, *text_tokens = embed_tokens(self._embedder, [query, *texts]) or []
        return [float(mean) for mean in nearest_tokens(query_tokens, text_tokens).mean(axis=1)]


def build(options: Options, context: ScoringParts) -> Reranker:  # noqa: ARG001  # every adapter has this signature
    """Raises InvalidSetting: the embedder has no token vectors."""
    if embed_tokens(context.embedder, []) is None:
        raise InvalidSetting(
            f'[models.reranker] use = "late_interaction" needs a vector a token, and the embedder '
            f'{name_of(context.embedder)} has none. Use the embedder "openvino" or "sentence_transformers", or another '
            f"reranker."
        )
    return LateInteraction(context.embedder)

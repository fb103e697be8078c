"""An embedder by any sentence-transformers model from a local folder, with torch on the CPU. Bundled: all-MiniLM-L6-v2, 384 dimensions.

The default is `openvino`, which computes the same BERT models several times faster. This one is for all other models.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from langchain_core.embeddings import Embeddings
from pydantic import Field

from extensions.torch_models.loading import LOCALLY, checked_folder, prepare_torch
from foundation.components import Context
from foundation.settings import BESIDE_STACK, Section
from models import weights
from models.embedding import ArrayEmbeddings, Vectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class Options(Section):
    path: Path | None = Field(default=None, json_schema_extra=BESIDE_STACK)
    """A folder with a sentence-transformers model in safetensors; `None`: the bundled all-MiniLM-L6-v2."""
    batch_size: int = Field(default=32, ge=1)
    max_tokens: int | None = Field(default=None, ge=8)
    """Tokens to which texts are cut; `None`: the model's own limit (256 for the bundled one)."""
    threads: int | None = Field(default=None, ge=1)


class SentenceTransformerEmbedder(ArrayEmbeddings):
    """Embeds texts by a loaded model. Thread-safe by a lock, as `PairClassifier`."""

    def __init__(self, model: SentenceTransformer, *, name: str, batch_size: int) -> None:
        self.model_name = name
        self.dimensions = int(model.get_embedding_dimension() or 0)
        self._model = model
        self._batch_size = batch_size
        self._lock = threading.Lock()

    def embed_array(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors, shape (texts, dimensions), float32, rows of unit length, in input order."""
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        return np.asarray(self._encode(texts, normalize_embeddings=True, convert_to_numpy=True), dtype=np.float32)

    def embed_tokens(self, texts: Sequence[str]) -> list[Vectors]:
        """Return per text the token vectors, with the marks at both ends: (tokens, dimensions), float32, rows of unit length."""
        outputs = self._encode(texts, output_value="token_embeddings") if texts else []
        rows = [np.asarray(tokens, dtype=np.float32) for tokens in outputs]
        return [tokens / np.linalg.norm(tokens, axis=1, keepdims=True) for tokens in rows]

    def _encode(self, texts: Sequence[str], **wanted: Any) -> Any:
        with self._lock:
            return self._model.encode(list(texts), batch_size=self._batch_size, show_progress_bar=False, **wanted)


def build(options: Options, context: Context) -> Embeddings:
    """Check and load the weights. Raises WeightsInvalid: a file is missing, altered or pickled."""
    folder = weights.MINILM.verify().parent if options.path is None else checked_folder(options.path)
    prepare_torch(options.threads or context.threads)
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), **LOCALLY)
    if options.max_tokens is not None:
        model.max_seq_length = options.max_tokens
    name = weights.MINILM.name if options.path is None else folder.name
    return SentenceTransformerEmbedder(model, name=name, batch_size=options.batch_size)

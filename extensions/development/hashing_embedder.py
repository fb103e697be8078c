"""A deterministic embedder for tests: words and character trigrams, hashed into a few hundred dimensions.

Texts that share words are near each other, which is enough to test storage, filters and ranking; do not judge retrieval by it.
Feature hashing with signs: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence

import numpy as np
from langchain_core.embeddings import Embeddings
from pydantic import Field

from foundation.components import Context
from foundation.settings import Section
from models.embedding import ArrayEmbeddings, Vectors

_WORD = re.compile(r"\w+")


class Options(Section):
    dimensions: int = Field(default=256, ge=8)


class HashingEmbedder(ArrayEmbeddings):
    """A test double; a text has the same vector in every process and on every machine."""

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self.model_name = f"hashing-{dimensions} (test double)"

    def embed_array(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors, shape (texts, dimensions), float32, rows of unit length."""
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for feature, weight in _features(text):
                place, sign = self._place(feature)
                vector[place] += sign * weight
            # No words, or sums that cancel out: a vector needs a direction
            if not vector.any():
                vector[self._place(f"whole {text}")[0]] = 1.0
            vector[:] = vector / np.linalg.norm(vector)
        return vectors

    def _place(self, feature: str) -> tuple[int, int]:
        number = int.from_bytes(hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest())
        return number // 2 % self.dimensions, 1 if number % 2 else -1


def _features(text: str) -> Iterator[tuple[str, float]]:
    for word in _WORD.findall(text.lower()):
        yield word, 1.0
        padded = f"<{word}>"
        for start in range(len(padded) - 2):
            yield f"part {padded[start : start + 3]}", 0.3


def build(options: Options, context: Context) -> Embeddings:  # noqa: ARG001  # every adapter has this signature
    return HashingEmbedder(options.dimensions)

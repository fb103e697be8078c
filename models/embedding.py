"""Functions that embed texts with any LangChain `Embeddings` and check the results."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import numpy.typing as npt
from langchain_core.embeddings import Embeddings

from foundation.errors import UpstreamMalformed
from foundation.machine.deadline import check
from models.resilience.vendor_errors import translate_errors

# Shape (texts, dimensions), rows of unit length
Vectors = npt.NDArray[np.float32]

# The tenant that models are called for; `None`: nobody in particular
served_tenant: ContextVar[str | None] = ContextVar("tenant", default=None)

# Fixed texts whose vectors tell embedders of one name and dimension apart. Changing one changes every fingerprint
PROBE_TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "A refund is paid within fourteen days of the return.",
    "Fehlercode 42: Druckkopf überhitzt",
)


class ArrayEmbeddings(Embeddings, ABC):
    """A base class of embedders that compute arrays."""

    @abstractmethod
    def embed_array(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors, shape (texts, dimensions), float32, unit length, in input order."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[float(value) for value in row] for row in self.embed_array(texts)]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


@contextmanager
def on_behalf_of(tenant: str) -> Iterator[None]:
    """Attribute the calls of models inside to this tenant."""
    token = served_tenant.set(tenant)
    try:
        yield
    finally:
        served_tenant.reset(token)


def embed(embedder: Embeddings, texts: Sequence[str]) -> Vectors:
    """Return unit vectors, float32, (texts, dimensions), in input order. Raises ComponentError: it failed, or one is zero."""
    check()
    if not texts:
        return np.zeros((0, 0), dtype=np.float32)
    # Avoids lists of Python floats where the embedder can
    embed_array = getattr(embedder, "embed_array", None)
    readable_texts = readable(texts)
    with translate_errors(name_of(embedder)):
        raw = embed_array(readable_texts) if callable(embed_array) else embedder.embed_documents(readable_texts)
    return _normalise(raw, len(readable_texts), embedder)


def embed_query(embedder: Embeddings, text: str) -> Vectors:
    """Return the vector of a query, shape (dimensions,), float32, unit length. Raises as `embed`."""
    # By the embedder's `embed_query`, because some models encode queries and passages differently
    with translate_errors(name_of(embedder)):
        raw = embedder.embed_query(*readable([text]))
    return np.asarray(_normalise([raw], 1, embedder)[0])


def embed_tokens(embedder: Embeddings, texts: Sequence[str]) -> list[Vectors] | None:
    """Return each text's token vectors, (tokens, dimensions), unit rows; `None`: the embedder has none. Raises as `embed`."""
    check()
    compute = getattr(embedder, "embed_tokens", None)
    if not callable(compute):
        return None
    with translate_errors(name_of(embedder)):
        token_vectors: list[Vectors] = compute(readable(texts)) if texts else []
    if len(token_vectors) != len(texts) or not all(len(vectors) for vectors in token_vectors):
        raise UpstreamMalformed(
            f"{name_of(embedder)} returned token vectors for {len(token_vectors)} of {len(texts)} texts, or none for one. "
            "Check the model."
        )
    # without those of the marks that BERT models put at both ends
    return [vectors[1:-1] if len(vectors) > 2 else vectors for vectors in token_vectors]


def probe(embedder: Embeddings) -> tuple[tuple[float, ...], ...]:
    """Return unit vectors of the probe texts as plain numbers, for a database. Raises as `embed`."""
    return tuple(tuple(float(value) for value in vector) for vector in embed(embedder, PROBE_TEXTS))


def nearest_tokens(query_tokens: Vectors, texts: Sequence[Vectors]) -> Vectors:
    """Return for each text and token of the query the cosine of the text's nearest token, from 0 to 1. Shape (texts,
    tokens of the query); a row's sum is the MaxSim of late interaction (Khattab and Zaharia, "ColBERT", SIGIR 2020).
    """
    rows = [np.clip((query_tokens @ tokens.T).max(axis=1), 0, 1) for tokens in texts]
    return np.stack(rows) if rows else np.zeros((0, len(query_tokens)), dtype=np.float32)


def middle(tokens: Vectors) -> Vectors:
    """Return the mean of token vectors as a text's own vector, shape (dimensions,), of unit length."""
    mean = tokens.mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9))


def readable(texts: Sequence[str]) -> list[str]:
    """Return texts that every tokenizer and server accepts."""
    # Lone surrogates cannot be encoded; OpenAI's API and llama.cpp's server refuse an empty text
    return [text.encode("utf-8", "replace").decode() or " " for text in texts]


def name_of(embedder: object) -> str:
    """Return an embedder's name for traces and costs: `model_name`, `model`, or the class's name."""
    names = (getattr(embedder, attribute, None) for attribute in ("model_name", "model"))
    return next((name for name in names if isinstance(name, str)), type(embedder).__name__)


def _normalise(raw: object, expected: int, embedder: Embeddings) -> Vectors:
    try:
        vectors = np.asarray(raw, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise UpstreamMalformed(
            f"{name_of(embedder)} returned vectors that form no table: {error}. Try again; if it stays, check the model."
        ) from error
    if vectors.ndim != 2 or len(vectors) != expected or vectors.shape[1] == 0:
        raise UpstreamMalformed(
            f"{name_of(embedder)} returned vectors of shape {vectors.shape} for {expected} texts. "
            "Check the model and its batch limit."
        )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.all(np.isfinite(lengths)) or not np.all(lengths > 0):
        raise UpstreamMalformed(f"{name_of(embedder)} returned a vector that is zero or not finite. Check the model.")
    return np.asarray(vectors / lengths, dtype=np.float32)

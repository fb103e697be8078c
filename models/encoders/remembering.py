"""A cache around an embedder: planning, searching and grading all embed the same question."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
from langchain_core.embeddings import Embeddings

from models.embedding import ArrayEmbeddings, Vectors, embed, embed_query, name_of, served_tenant

# Most cached texts: about 40 MB with 384 dimensions, including short texts
REMEMBERED = 20_000


class RememberingEmbedder(ArrayEmbeddings):
    """A cache of recent vectors around an embedder, queries and documents apart. Thread-safe."""

    def __init__(self, inner: Embeddings, *, limit: int = REMEMBERED) -> None:
        self.inner = inner
        self.model_name = name_of(inner)
        self._limit = limit
        self._cache: OrderedDict[tuple[str | None, str, str], Vectors] = OrderedDict()
        """By tenant, kind and text: how long a question takes, and what it costs, must not tell that another tenant asked it."""
        self._lock = threading.Lock()
        if callable(tokens := getattr(inner, "embed_tokens", None)):
            self.embed_tokens = tokens  # not cached: token vectors take too much memory

    def embed_array(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors, shape (texts, dimensions), in input order. Raises as `models.embedding.embed`."""
        return self._recall("document", texts, lambda fresh: embed(self.inner, fresh))

    def embed_query(self, text: str) -> list[float]:
        (vector,) = self._recall("query", [text], lambda fresh: embed_query(self.inner, fresh[0])[None, :])
        return [float(value) for value in vector]

    def _recall(self, kind: str, texts: Sequence[str], compute: Callable[[list[str]], Vectors]) -> Vectors:
        if not texts:
            return compute([])
        tenant = served_tenant.get()
        with self._lock:
            vectors = {text: self._cache[key] for text in texts if (key := (tenant, kind, text)) in self._cache}
        if fresh := [text for text in dict.fromkeys(texts) if text not in vectors]:
            vectors |= dict(zip(fresh, compute(fresh), strict=True))
        with self._lock:
            for text in texts:
                self._cache[tenant, kind, text] = vectors[text]
                self._cache.move_to_end((tenant, kind, text))
            while len(self._cache) > self._limit:
                self._cache.popitem(last=False)
        return np.stack([vectors[text] for text in texts])

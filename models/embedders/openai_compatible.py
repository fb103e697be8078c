"""Embeddings behind OpenAI's embeddings API: OpenAI itself, vLLM, Ollama, text-embeddings-inference, llama.cpp's server.

    [models.embedder]
    use = "openai_compatible"
    model = "text-embedding-3-small"       # and SIXPLY__MODELS__EMBEDDER__API_KEY in the environment
    base_url = "http://127.0.0.1:8000/v1"  # any other server than OpenAI's

Retries are the client's own. There are no fallbacks, since another embedder has other vectors.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from langchain_core.embeddings import Embeddings
from pydantic import Field

from foundation.clock import Clock
from foundation.components import Context
from foundation.types import Usage
from models.contract import Call, requests_made
from models.embedding import ArrayEmbeddings, Vectors
from models.pricing import is_count
from models.resilience.http_clients import EMBEDDING_BYTES, OPENAI, RemoteOptions

if TYPE_CHECKING:
    import openai


class Options(RemoteOptions):
    section = "models.embedder"

    dimensions: int | None = Field(default=None, ge=8)
    """Dimensions to request from a server that can shorten vectors; `None`: the model's own number."""
    query_prefix: str = ""
    """Prefix of queries, as in the model's card: `query: ` for E5."""
    document_prefix: str = ""
    """Prefix of documents: `passage: ` for E5."""
    batch_size: int = Field(default=64, ge=1, le=2048)
    """Most texts in one request. OpenAI allows 2,048, many servers fewer."""
    max_chars: int = Field(default=8000, ge=64)
    """Characters to which texts are cut, because servers refuse texts beyond the model's limit."""
    retries: int = Field(default=4, ge=0)
    """Most retries, after 408, 409, 429, 5xx and broken connections, with growing waits or the server's Retry-After."""


class OpenAICompatibleEmbedder(ArrayEmbeddings):
    """Returns the server's vectors; `models.embedding` checks and normalises them. Thread-safe."""

    def __init__(self, client: openai.OpenAI, options: Options, clock: Clock) -> None:
        self.model_name = options.model
        self.provider = "openai" if options.base_url == OPENAI else client.base_url.host
        self._client, self._clock = client, clock
        self._options = options
        self._wanted: dict[str, Any] = {} if options.dimensions is None else {"dimensions": options.dimensions}

    def embed_array(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors, shape (texts, dimensions), float32, in input order. Raises the client's exceptions."""
        return self._embed_batches([self._options.document_prefix + text for text in texts])

    def embed_query(self, text: str) -> list[float]:
        return [float(value) for value in self._embed_batches([self._options.query_prefix + text])[0]]

    def close(self) -> None:
        """Close idle connections. A second call does nothing."""
        self._client.close()

    def _embed_batches(self, texts: Sequence[str]) -> Vectors:
        size = self._options.batch_size
        rows = [row for start in range(0, len(texts), size) for row in self._batch(texts[start : start + size])]
        return np.array(rows, dtype=np.float32)

    def _batch(self, texts: Sequence[str]) -> list[list[float]]:
        begun_s = time.perf_counter()
        reply = self._client.embeddings.create(
            model=self._options.model,
            input=[text[: self._options.max_chars] for text in texts],
            encoding_format="float",  # the client's own default, base64, is not spoken by every server
            **self._wanted,
        )
        if (requests := requests_made.get()) is not None:
            tokens, seconds = getattr(reply.usage, "prompt_tokens", None), time.perf_counter() - begun_s
            usage = Usage(input_tokens=tokens, output_tokens=0) if is_count(tokens) else Usage()
            requests.append(Call(self.provider, self.model_name, usage, seconds, local=False, at=self._clock.now()))
        vectors = [item.embedding for item in sorted(reply.data, key=lambda item: item.index)]
        if len(vectors) != len(texts):
            raise ValueError(f"{len(vectors)} vectors for {len(texts)} texts")
        return vectors


def build(options: Options, context: Context) -> Embeddings:
    """Create the client; nothing is connected yet. Raises MissingCredential: there is no key."""
    import openai

    sync_client, _ = options.connect(keep_alive=True, max_bytes=EMBEDDING_BYTES)
    client = openai.OpenAI(
        api_key=options.key().get_secret_value(),
        base_url=options.base_url,
        timeout=sync_client.timeout,
        max_retries=options.retries,
        http_client=sync_client,
    )
    return OpenAICompatibleEmbedder(client, options, context.clock)

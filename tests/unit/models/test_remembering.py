"""The wrapper that does not embed a text twice."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings

from foundation import components
from foundation.components import Context
from foundation.errors import UpstreamDown
from foundation.settings import Part
from models.embedding import embed, embed_query, on_behalf_of
from models.encoders.remembering import RememberingEmbedder


class Counting(Embeddings):
    """The hashing double, with a note of every text that reached it."""

    def __init__(self) -> None:
        self.double: Embeddings = components.load("models.embedder", Part(use="hashing"), Context(data_dir=Path()))
        self.seen: list[str] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.seen += texts
        return self.double.embed_documents(texts)

    def embed_query(self, text: str) -> list[float]:
        self.seen.append(f"query: {text}")
        return self.double.embed_query(text)


def test_a_text_that_was_embedded_lately_is_not_embedded_again() -> None:
    inner = Counting()
    embedder = RememberingEmbedder(inner)
    embed(embedder, ["a", "b"])
    embed(embedder, ["b", "c", "b"])
    assert inner.seen == ["a", "b", "c"]


def test_a_tenant_does_not_learn_from_the_time_or_the_price_that_another_asked_the_same() -> None:
    inner = Counting()
    embedder = RememberingEmbedder(inner)
    for tenant in ("north", "south", "north"):
        with on_behalf_of(tenant):
            embed_query(embedder, "Who leaves in May?")
    assert inner.seen == ["query: Who leaves in May?"] * 2


def test_vectors_are_those_of_the_inner_embedder_in_the_order_asked_for() -> None:
    inner = Counting()
    embedder = RememberingEmbedder(inner)
    embed(embedder, ["b"])
    np.testing.assert_allclose(embed(embedder, ["a", "b", "a"]), embed(inner.double, ["a", "b", "a"]), atol=1e-6)
    np.testing.assert_allclose(embed_query(embedder, "a"), embed_query(inner.double, "a"), atol=1e-6)


def test_a_query_and_a_document_of_the_same_words_are_kept_apart() -> None:
    inner = Counting()
    embedder = RememberingEmbedder(inner)
    embed(embedder, ["a"])
    embed_query(embedder, "a")
    embed_query(embedder, "a")
    assert inner.seen == ["a", "query: a"]


def test_token_vectors_come_from_the_inner_embedder_where_it_has_them() -> None:
    class TokenByToken(Counting):
        def embed_tokens(self, texts: list[str]) -> list[str]:
            return [f"tokens of {text}" for text in texts]

    assert not hasattr(RememberingEmbedder(Counting()), "embed_tokens")
    assert RememberingEmbedder(TokenByToken()).embed_tokens(["a"]) == ["tokens of a"]


def test_the_one_that_was_asked_for_longest_ago_is_forgotten_first() -> None:
    inner = Counting()
    embedder = RememberingEmbedder(inner, limit=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        embed(embedder, [text])
    assert inner.seen == ["a", "b", "c", "b"]


def test_a_failure_of_the_inner_embedder_passes_on_and_nothing_is_remembered() -> None:
    class Failing(Counting):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            super().embed_documents(texts)
            if len(self.seen) == 1:
                raise ConnectionError("down")
            return self.double.embed_documents(texts)

    inner = Failing()
    embedder = RememberingEmbedder(inner)
    with pytest.raises(UpstreamDown):
        embed(embedder, ["a"])
    assert embed(embedder, ["a"]).shape[0] == 1
    assert inner.seen == ["a", "a"]


def test_many_threads_get_right_vectors() -> None:
    embedder = RememberingEmbedder(Counting(), limit=5)
    texts = [f"text {number % 9}" for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: embed(embedder, [text])[0], texts))
    np.testing.assert_allclose(np.stack(found), embed(Counting().double, texts), atol=1e-6)

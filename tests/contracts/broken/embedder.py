"""Embedders with one fault each, and the promise that must catch it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

import numpy as np
from langchain_core.embeddings import Embeddings

DIMENSIONS = 16


def _unit(text: str, *, salt: object = "") -> list[float]:
    digest = hashlib.blake2b(f"{salt}{text}".encode("utf-8", "surrogatepass"), digest_size=DIMENSIONS).digest()
    raw = [byte - 127.3 for byte in digest]
    length = sum(value * value for value in raw) ** 0.5
    return [value / length for value in raw]


class Healthy(Embeddings):
    """The double from which the others are broken; it keeps every promise."""

    caught_by: str | None = None
    model_name = "healthy"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [_unit(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return _unit(text)

    def close(self) -> None:
        """Nothing is open."""


class ChangesItsDimensions(Healthy):
    caught_by = "has_as_many_dimensions_for_every_text"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [_unit(text)[: 8 + len(text) % 8] for text in texts]


class SortsAndForgets(Healthy):
    caught_by = "keeps_the_order"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [_unit(text) for text in sorted(texts, key=len)]


class DropsDuplicates(Healthy):
    caught_by = "gives_one_vector_a_text"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [_unit(text) for text in dict.fromkeys(texts)]


class ChokesOnUnicode(Healthy):
    caught_by = "takes_any_text"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [_unit(text.encode("ascii").decode()) for text in texts]


class ZeroForNothing(Healthy):
    caught_by = "takes_any_text"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [_unit(text) if text.strip() else [0.0] * DIMENSIONS for text in texts]


class ChokesOnNoTexts(Healthy):
    caught_by = "takes_no_texts"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [] if texts[0] is None else [_unit(text) for text in texts]


class SaltedByObject(Healthy):
    caught_by = "is_deterministic"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        salt = random.random()  # the fault
        return [_unit(text, salt=salt) for text in texts]


class EatsItsInput(Healthy):
    caught_by = "leaves_its_input_alone"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        vectors = [_unit(text) for text in texts]
        texts.clear()
        return vectors


class SharesABuffer(Healthy):
    """Two calls at the same time write into the same list."""

    caught_by = "survives_concurrent_calls"
    buffer: list[list[float]] = []  # noqa: RUF012  # the fault

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        import time

        self.buffer.clear()
        for text in texts:
            self.buffer.append(_unit(text))
            time.sleep(0.002)
        return list(self.buffer)


class DependsOnNeighbours(Healthy):
    """A batch of two gives other vectors than two batches of one."""

    caught_by = "does_not_depend_on_the_batch"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [_unit(text, salt=len(texts)) for text in texts]


class FastPathDisagrees(Healthy):
    caught_by = "agrees_with_its_fast_path"

    def embed_array(self, texts: Sequence[str]) -> list[list[float]]:
        return [_unit(text, salt="fast") for text in texts]


class Nameless(Healthy):
    caught_by = "has_a_name"
    model_name = ""


class TokensOfAnotherSize(Healthy):
    caught_by = "has_a_vector_a_token_or_says_that_it_has_none"

    def embed_tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [np.ones((2, 3), dtype=np.float32) for _ in texts]


class ClosesOnlyOnce(Healthy):
    caught_by = "closes_twice"
    closed = False

    def close(self) -> None:
        if self.closed:
            raise RuntimeError("already closed")
        self.closed = True


class QueriesElsewhere(Healthy):
    """A query of another dimension finds nothing."""

    caught_by = "embeds_a_query_into_the_same_space"

    def embed_query(self, text: str) -> list[float]:
        return [*_unit(text), 0.0]


BROKEN = [
    ChangesItsDimensions, SortsAndForgets, DropsDuplicates, ChokesOnUnicode, ZeroForNothing, ChokesOnNoTexts, SaltedByObject,
    EatsItsInput, SharesABuffer, DependsOnNeighbours, FastPathDisagrees, Nameless,
    TokensOfAnotherSize, ClosesOnlyOnce, QueriesElsewhere,
]  # fmt: skip

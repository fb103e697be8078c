"""The promises of an embedder, on every adapter in models/embedders, and on broken ones that must be rejected."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests

from foundation.components import Context, load
from models.embedding import embed, embed_query, name_of
from tests.contracts import under_test
from tests.contracts.broken import embedder as broken

TEXTS = ("A refund is paid within fourteen days.", "The printer", "Der Drucker druckt nicht mehr, was nun?", "x")
ODD_TEXTS = ("", " ", "\n\n", "漢字とかな", "🙂🙃", "naïve café", "nul\x00byte", "a" * 5000, "lone \ud800 surrogate")


def has_unit_length(embedder: Embeddings) -> None:
    assert np.linalg.norm(embedder.embed_documents(list(TEXTS)), axis=1) == pytest.approx(1.0, abs=1e-4)


def keeps_the_order(embedder: Embeddings) -> None:
    together, alone = embed(embedder, TEXTS), [embed(embedder, [text])[0] for text in TEXTS]
    nearest = [int(np.argmax(together @ vector)) for vector in alone]
    assert nearest == list(range(len(TEXTS)))


def gives_one_vector_a_text(embedder: Embeddings) -> None:
    vectors = embed(embedder, [*TEXTS, *TEXTS])
    assert vectors.shape[0] == 2 * len(TEXTS)
    assert np.allclose(vectors[: len(TEXTS)], vectors[len(TEXTS) :], atol=1e-4)


def takes_any_text(embedder: Embeddings) -> None:
    assert np.all(np.isfinite(embed(embedder, ODD_TEXTS)))


def takes_no_texts(embedder: Embeddings) -> None:
    assert list(embedder.embed_documents([])) == []


def is_deterministic(embedder: Embeddings) -> None:
    assert np.array_equal(embed(embedder, TEXTS), embed(embedder, TEXTS))


def does_not_depend_on_the_batch(embedder: Embeddings) -> None:
    alone = np.stack([embed(embedder, [text])[0] for text in TEXTS])
    cosine = np.sum(alone * embed(embedder, TEXTS), axis=1)
    assert cosine == pytest.approx(1.0, abs=1e-4)


def leaves_its_input_alone(embedder: Embeddings) -> None:
    given = list(TEXTS)
    embedder.embed_documents(given)
    assert given == list(TEXTS)


def survives_concurrent_calls(embedder: Embeddings) -> None:
    expected = embed(embedder, TEXTS)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: embed(embedder, TEXTS), range(12)))
    assert all(np.allclose(result, expected, atol=1e-4) for result in results)


def agrees_with_its_fast_path(embedder: Embeddings) -> None:
    assert np.allclose(embed(embedder, TEXTS), embedder.embed_documents(list(TEXTS)), atol=1e-5)


def has_a_name(embedder: Embeddings) -> None:
    assert name_of(embedder)


def embeds_a_query_into_the_same_space(embedder: Embeddings) -> None:
    assert embed_query(embedder, TEXTS[0]).shape == embed(embedder, TEXTS)[0].shape


PROMISES: list[Callable[[Embeddings], None]] = [
    has_unit_length, keeps_the_order, gives_one_vector_a_text, takes_any_text, takes_no_texts, is_deterministic,
    does_not_depend_on_the_batch, leaves_its_input_alone, survives_concurrent_calls, agrees_with_its_fast_path,
    has_a_name, embeds_a_query_into_the_same_space,
]  # fmt: skip

REAL = {"openvino", "sentence_transformers"}
ADAPTERS = [
    pytest.param(name, marks=[pytest.mark.real_model] if name in REAL else [])
    for name in under_test.adapters("models.embedder")
]


@pytest.fixture(scope="module", params=ADAPTERS)
def embedder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Embeddings:
    context = Context(data_dir=Path(tmp_path_factory.mktemp("data")), threads=1)  # the machine may be busy
    return load("models.embedder", under_test.part("models.embedder", request.param), context, expected=Embeddings)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_every_adapter_keeps(promise: Callable[[Embeddings], None], embedder: Embeddings) -> None:
    promise(embedder)


class TestLangChainSuite(EmbeddingsIntegrationTests):
    """LangChain's own suite, on every adapter."""

    @property
    def embeddings_class(self) -> type[Embeddings]:
        raise NotImplementedError("the fixture `model` builds the adapter through the loader")

    @pytest.fixture
    def model(self, embedder: Embeddings) -> Embeddings:
        return embedder


def _failures(embedder: Embeddings) -> list[str]:
    failed = []
    for promise in PROMISES:
        try:
            promise(embedder)
        except Exception:  # any failure counts, as it does in pytest
            failed.append(promise.__name__)
    return failed


def test_the_suite_accepts_a_healthy_double() -> None:
    assert _failures(broken.Healthy()) == []


@pytest.mark.parametrize("fault", broken.BROKEN, ids=lambda fault: fault.__name__)
def test_the_suite_rejects(fault: Any) -> None:
    assert fault.caught_by in _failures(fault())

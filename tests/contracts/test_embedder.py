"""The promises of an embedder, on every adapter in models/embedders, on a class of LangChain's, and on broken ones that
must be rejected. The adapters of remote APIs meet a real llama.cpp server in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests

from foundation.components import Context, available, load
from foundation.errors import (
    ComponentError,
    UpstreamDown,
    UpstreamLimited,
    UpstreamMalformed,
    UpstreamRejected,
    UpstreamTimeout,
)
from foundation.settings import Part
from models.embedding import embed, embed_query, embed_tokens, name_of
from observability.telemetry.instrument import TracedEmbedder
from tests import services
from tests.contracts import under_test
from tests.contracts.broken import embedder as broken
from tests.doubles.provider import Behaviour, FaultyProvider, garbage, hang, reset, status

TEXTS = ("A refund is paid within fourteen days.", "The printer", "Der Drucker druckt nicht mehr, was nun?", "x")
LONG = "-" * 1500
"""Six times what MiniLM reads of a text, and yet few tokens for a chat model that embeds, which takes 8 ms for each."""
ODD_TEXTS = ("", " ", "\n\n", "漢字とかな", "🙂🙃", "naïve café", "nul\x00byte", LONG, "lone \ud800 surrogate")


def has_as_many_dimensions_for_every_text(embedder: Embeddings) -> None:
    """Unit length is no promise of the part: `models.embedding` sees to that."""
    assert len({len(embedder.embed_documents([text])[0]) for text in TEXTS}) == 1
    assert embed(embedder, TEXTS).shape[0] == len(TEXTS)


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
    """But for rounding, which servers do in whatever order their threads come."""
    assert np.allclose(embed(embedder, TEXTS), embed(embedder, TEXTS), atol=1e-4)


def does_not_depend_on_the_batch(embedder: Embeddings) -> None:
    alone = np.stack([embed(embedder, [text])[0] for text in TEXTS])
    cosine = np.sum(alone * embed(embedder, TEXTS), axis=1)
    assert cosine == pytest.approx(1.0, abs=1e-4)


def leaves_its_input_alone(embedder: Embeddings) -> None:
    given = list(TEXTS)
    embedder.embed_documents(given)
    assert given == list(TEXTS)


def survives_concurrent_calls(embedder: Embeddings) -> None:
    expected, start = embed(embedder, TEXTS), Barrier(4)

    def embed_with_others(_: int) -> Any:
        start.wait()  # on a busy machine one call could be over before the next one begins
        return embed(embedder, TEXTS)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(embed_with_others, range(4)))
    assert all(np.allclose(result, expected, atol=1e-4) for result in results)


def agrees_with_its_fast_path(embedder: Embeddings) -> None:
    slow = np.array(embedder.embed_documents(list(TEXTS)))
    assert np.allclose(embed(embedder, TEXTS), slow / np.linalg.norm(slow, axis=1, keepdims=True), atol=1e-4)


def has_a_name(embedder: Embeddings) -> None:
    assert name_of(embedder)


def has_a_vector_a_token_or_says_that_it_has_none(embedder: Embeddings) -> None:
    """A claimed ability: late interaction and grounding use it where it is there."""
    tokens = embed_tokens(embedder, TEXTS)
    assert (tokens is None) == (not hasattr(embedder, "embed_tokens"))
    for vectors in tokens or ():
        assert vectors.shape[1] == embed(embedder, TEXTS).shape[1]
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-4)


def closes_twice(embedder: Embeddings) -> None:
    """On doubles only; `test_closing_twice` does it to the adapters, which the other promises still need open."""
    if isinstance(embedder, broken.Healthy):
        embedder.close()
        embedder.close()


def embeds_a_query_into_the_same_space(embedder: Embeddings) -> None:
    assert embed_query(embedder, TEXTS[0]).shape == embed(embedder, TEXTS)[0].shape


PROMISES: list[Callable[[Embeddings], None]] = [
    has_as_many_dimensions_for_every_text, keeps_the_order, gives_one_vector_a_text, takes_any_text, takes_no_texts, is_deterministic,
    does_not_depend_on_the_batch, leaves_its_input_alone, survives_concurrent_calls, agrees_with_its_fast_path,
    has_a_name, embeds_a_query_into_the_same_space,
    has_a_vector_a_token_or_says_that_it_has_none, closes_twice,
]  # fmt: skip

LANGCHAIN = "langchain_openai:OpenAIEmbeddings"
VARIANTS = {"openvino float32": ("openvino", {"precision": "float32"})}
"""What an adapter can also be, by the name of its test."""
SLOW_TO_BUILD = {"openvino", "sentence_transformers", "e5"}
"""And without anything to close."""
REAL = {"openvino", "openvino float32", "sentence_transformers", "e5", "openai_compatible", LANGCHAIN}
HERE = {*available("models.embedder"), LANGCHAIN} - (
    set() if "llama_cpp" in available("models.chat") else {"openai_compatible", LANGCHAIN}
)
"""What can be tried: the server for two of them runs the bundled model, which a small project goes without."""
ADAPTERS = [
    pytest.param(name, marks=[pytest.mark.real_model] if name in REAL else [])
    for name in under_test.adapters("models.embedder", LANGCHAIN, *VARIANTS)
    if "models.embedder" in under_test.NAMED or VARIANTS.get(name, (name,))[0] in HERE
]


def _options(name: str) -> dict[str, Any]:
    """What an adapter needs to be built here; an adapter that is not listed needs nothing."""
    if name in VARIANTS:
        return VARIANTS[name][1]
    if name not in {"openai_compatible", LANGCHAIN} or under_test.named("models.embedder", name):
        return {}
    server = {"model": "SmolLM2-135M-Instruct", "base_url": f"{services.llama()}/v1", "api_key": services.LLAMA_KEY}
    return server | ({"check_embedding_ctx_length": False} if name == LANGCHAIN else {})


def _built(name: str, folder: Path) -> Embeddings:
    part = under_test.part("models.embedder", VARIANTS[name][0] if name in VARIANTS else name, **_options(name))
    embedder: Embeddings = load("models.embedder", part, Context(data_dir=folder, threads=1), expected=Embeddings)
    return embedder


@pytest.fixture(scope="module", params=ADAPTERS)
def adapter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embeddings]:
    embedder = _built(request.param, Path(tmp_path_factory.mktemp("data")))
    yield embedder
    if hasattr(embedder, "close"):
        embedder.close()


@pytest.fixture(params=under_test.WRAPPED)
def embedder(request: pytest.FixtureRequest, adapter: Embeddings) -> Embeddings:
    return TracedEmbedder(adapter) if request.param == "traced" else adapter


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_every_adapter_keeps(promise: Callable[[Embeddings], None], embedder: Embeddings) -> None:
    promise(embedder)


@pytest.mark.parametrize("adapter", [each for each in ADAPTERS if each.values[0] != LANGCHAIN], indirect=True)
class TestLangChainSuite(EmbeddingsIntegrationTests):
    """LangChain's own suite, on every adapter of ours."""

    @property
    def embeddings_class(self) -> type[Embeddings]:
        raise NotImplementedError("the fixture `model` builds the adapter through the loader")

    @pytest.fixture(autouse=True)
    def model(self, adapter: Embeddings) -> Embeddings:
        return adapter


@pytest.mark.parametrize(
    "name", [name for name in under_test.adapters("models.embedder") if name in HERE - SLOW_TO_BUILD]
)
def test_closing_twice_closes_once(name: str, tmp_path: Path) -> None:
    embedder: Any = _built(name, tmp_path)
    if hasattr(embedder, "close"):
        embedder.close()
        embedder.close()


# --- failures of a provider -------------------------------------------------------------------------------------------

FAULTS = [
    (status(429, {"Retry-After": "7"}), UpstreamLimited),
    (status(401), UpstreamRejected),
    (status(404), UpstreamRejected),
    (status(422), UpstreamRejected),
    (status(500), UpstreamDown),
    (status(503), UpstreamDown),
    (reset(), UpstreamDown),
    (hang(), UpstreamTimeout),
    (garbage(), UpstreamMalformed),
    (garbage(b'{"data": []}'), UpstreamMalformed),
    (garbage(b'{"unexpected": []}'), UpstreamMalformed),
    (garbage(b"null"), UpstreamMalformed),
    (garbage(b'{"data": [{"index": 0, "embedding": [0.0, 0.0]}]}'), UpstreamMalformed),
]


def _remote(address: str, folder: Path, **options: Any) -> Any:
    given = {"model": "some-model", "api_key": "sk-test-canary", "base_url": f"{address}/v1", "retries": 0, **options}
    return load("models.embedder", Part.model_validate({"use": "openai_compatible", **given}), Context(data_dir=folder))


@pytest.mark.parametrize("asked", [lambda e: embed(e, ["a"]), lambda e: embed_query(e, "a")], ids=["texts", "query"])
@pytest.mark.parametrize(("fault", "expected"), FAULTS)
@pytest.mark.parametrize(
    "name", [each for each in under_test.adapters("models.embedder") if each == "openai_compatible"]
)
def test_a_failure_is_one_of_our_errors_with_its_cause(
    name: str, fault: Behaviour, expected: type[ComponentError], asked: Callable[[Embeddings], Any], tmp_path: Path
) -> None:
    with FaultyProvider(fault) as provider:
        embedder = _remote(provider.url, tmp_path, read_timeout_s=0.3 if expected is UpstreamTimeout else 60)
        with pytest.raises(expected) as caught:
            asked(embedder)
        embedder.close()
    assert type(caught.value) is expected
    assert caught.value.__cause__ is not None or expected is UpstreamMalformed
    assert "sk-test-canary" not in str(caught.value)
    if expected is UpstreamLimited:
        assert caught.value.retry_after_s == 7


# --- the suite itself -------------------------------------------------------------------------------------------------


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

"""The embedder for OpenAI's API: what it sends, in which order it gives back, and when it tries again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundation.components import Context, load
from foundation.errors import MissingCredential, UpstreamLimited, UpstreamMalformed
from foundation.settings import Part
from models.embedding import embed, embed_query
from tests.doubles.provider import FaultyProvider, garbage, status, vectors


def _load(folder: Path, **options: Any) -> Any:
    part = Part.model_validate({"use": "openai_compatible", "model": "m-1", "api_key": "sk-own", **options})
    return load("models.embedder", part, Context(data_dir=folder))


def test_texts_go_out_in_batches_and_come_back_in_order(tmp_path: Path) -> None:
    with FaultyProvider(vectors()) as provider:
        embedder = _load(tmp_path, base_url=f"{provider.url}/v1", batch_size=2)
        found = embedder.embed_array(["a", "bb", "ccc"])
        embedder.close()
    assert found.tolist() == [[1, 0], [2, 1], [3, 0]]
    assert found.dtype == np.float32
    assert [body["input"] for _, _, body in provider.requests] == [["a", "bb"], ["ccc"]]
    path, headers, body = provider.requests[0]
    assert path == "/v1/embeddings"
    assert (body["model"], body["encoding_format"]) == ("m-1", "float")
    assert "dimensions" not in body
    assert "Bearer sk-own" in headers.values()


def test_queries_and_documents_get_the_prefix_of_their_kind(tmp_path: Path) -> None:
    with FaultyProvider(vectors()) as provider:
        embedder = _load(tmp_path, base_url=f"{provider.url}/v1", query_prefix="query: ", document_prefix="passage: ")
        embed_query(embedder, "who")
        embed(embedder, ["he"])
        embedder.close()
    assert [body["input"] for _, _, body in provider.requests] == [["query: who"], ["passage: he"]]


def test_what_a_server_would_refuse_is_cut_or_filled(tmp_path: Path) -> None:
    with FaultyProvider(vectors()) as provider:
        embedder = _load(tmp_path, base_url=f"{provider.url}/v1", max_chars=64, dimensions=8)
        embed(embedder, ["x" * 99, "", "lone \ud800"])
        embedder.close()
    (_, _, body) = provider.requests[0]
    assert body["input"] == ["x" * 64, " ", "lone ?"]
    assert body["dimensions"] == 8


def test_a_busy_server_is_asked_again_and_given_up_in_the_end(tmp_path: Path) -> None:
    busy = status(429, {"Retry-After": "0"})
    with FaultyProvider(busy, busy, vectors()) as provider:
        embedder = _load(tmp_path, base_url=f"{provider.url}/v1", retries=2)
        assert embed(embedder, ["a"]).shape == (1, 2)
        embedder.close()
    assert len(provider.requests) == 3
    with FaultyProvider(busy) as provider:
        embedder = _load(tmp_path, base_url=f"{provider.url}/v1", retries=1)
        with pytest.raises(UpstreamLimited, match="m-1 asks us to slow down"):
            embed(embedder, ["a"])
        embedder.close()
    assert len(provider.requests) == 2


def test_fewer_vectors_than_texts_are_noticed_in_each_batch(tmp_path: Path) -> None:
    """Two batches that are wrong in opposite ways would otherwise add up."""
    one, two = (b'{"data": [%s]}' % b",".join([b'{"index": 0, "embedding": [1.0]}'] * n) for n in (1, 3))
    with FaultyProvider(garbage(one), garbage(two)) as provider:
        embedder = _load(tmp_path, base_url=f"{provider.url}/v1", batch_size=2)
        with pytest.raises(UpstreamMalformed):
            embed(embedder, ["a", "b", "c", "d"])
        embedder.close()


def test_a_server_elsewhere_needs_a_key_and_one_here_does_not(tmp_path: Path) -> None:
    with pytest.raises(MissingCredential, match=r"\[models.embedder\] \"m-1\" at .*SIXPLY__MODELS__EMBEDDER__API_KEY"):
        _load(tmp_path, api_key=None, base_url="https://models.example/v1")
    _load(tmp_path, api_key=None, base_url="http://127.0.0.1:1/v1").close()


def test_it_says_who_it_is_and_not_its_key(tmp_path: Path) -> None:
    embedder = _load(tmp_path, base_url="https://models.example/v1")
    assert (embedder.model_name, embedder.provider) == ("m-1", "models.example")
    assert _load(tmp_path).provider == "openai"
    assert "sk-own" not in repr(vars(embedder))
    embedder.close()
    embedder.close()

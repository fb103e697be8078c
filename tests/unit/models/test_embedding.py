"""Plain functions over any LangChain embedder: shape, length and sanity are checked for all of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from foundation.components import Context, load
from foundation.errors import UpstreamDown, UpstreamMalformed
from foundation.settings import Part
from models.embedding import PROBE_TEXTS, embed, embed_query, embed_tokens, name_of, probe


class Fixed(Embeddings):
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def embed_documents(self, texts: list[str]) -> Any:
        return self.answer

    def embed_query(self, text: str) -> Any:
        return self.answer[0]


class TokenByToken(Fixed):
    def embed_tokens(self, texts: list[str]) -> Any:
        return self.answer


def test_token_vectors_come_only_from_an_embedder_that_has_them() -> None:
    assert embed_tokens(Fixed([]), ["a"]) is None
    given = [np.eye(3, dtype=np.float32), np.eye(2, dtype=np.float32)]
    without_marks = [[[0, 1, 0]], [[1, 0], [0, 1]]]
    assert [rows.tolist() for rows in embed_tokens(TokenByToken(given), ["a", "b"]) or []] == without_marks
    assert embed_tokens(TokenByToken(given), []) == []


@pytest.mark.parametrize("answer", [[], [np.zeros((0, 3), dtype=np.float32)]])
def test_token_vectors_that_are_missing_are_an_upstream_error(answer: Any) -> None:
    with pytest.raises(UpstreamMalformed, match="token vectors"):
        embed_tokens(TokenByToken(answer), ["a"])


def _hashing(tmp_path: Path, **options: Any) -> Any:
    return load("models.embedder", Part.model_validate({"use": "hashing", **options}), Context(data_dir=tmp_path))


def test_vectors_of_any_embedder_come_back_with_unit_length() -> None:
    vectors = embed(DeterministicFakeEmbedding(size=8), ["one", "two"])
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0)


def test_the_fast_path_is_taken_where_there_is_one() -> None:
    class Fast(Fixed):
        def embed_array(self, texts: list[str]) -> Any:
            return np.full((len(texts), 4), 0.5, dtype=np.float32)

    assert embed(Fast(None), ["one"]).shape == (1, 4)


@pytest.mark.parametrize(
    "answer",
    [[], [[1.0]], [[1.0], [1.0], [1.0]], [[1.0, 2.0], [1.0]], [1.0, 2.0], [[], []], "no", None, [["a"], ["b"]]],
)
def test_an_answer_that_does_not_fit_is_malformed(answer: Any) -> None:
    with pytest.raises(UpstreamMalformed, match="Fixed returned"):
        embed(Fixed(answer), ["one", "two"])


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_a_vector_without_a_direction_is_malformed(value: float) -> None:
    with pytest.raises(UpstreamMalformed, match="zero or not finite"):
        embed(Fixed([[1.0, 0.0], [value, value]]), ["one", "two"])


def test_no_texts_need_no_model() -> None:
    assert embed(Fixed(None), []).shape == (0, 0)


def test_a_query_may_be_encoded_differently_from_a_passage() -> None:
    class Asymmetric(Fixed):
        def embed_query(self, text: str) -> Any:
            return [0.0, 2.0]

    assert embed_query(Asymmetric([[1.0, 0.0]]), "x").tolist() == [0.0, 1.0]


def test_a_probe_tells_models_of_equal_dimension_apart(tmp_path: Path) -> None:
    first, other = _hashing(tmp_path, dimensions=64), DeterministicFakeEmbedding(size=64)
    assert probe(first) == probe(_hashing(tmp_path, dimensions=64))
    assert probe(first) != probe(other)
    assert len(probe(first)) == len(PROBE_TEXTS)


def test_the_hashing_double_says_that_it_is_one(tmp_path: Path) -> None:
    assert "test double" in name_of(_hashing(tmp_path))


def test_the_hashing_double_has_the_same_vectors_in_every_process(tmp_path: Path) -> None:
    program = "from extensions.development.hashing_embedder import HashingEmbedder as H; print(H(8).embed_query('refund 漢字'))"
    outputs = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert outputs == {f"{_hashing(tmp_path, dimensions=8).embed_query('refund 漢字')}\n"}


def test_texts_that_share_words_are_nearer(tmp_path: Path) -> None:
    refund, same, other = embed(
        _hashing(tmp_path), ["refund policy days", "the refund policy", "printer head cleaning"]
    )
    assert refund @ same > refund @ other


def test_an_embedder_of_the_ecosystem_plugs_in_by_its_dotted_name(tmp_path: Path) -> None:
    part = Part.model_validate({"use": "langchain_core.embeddings:DeterministicFakeEmbedding", "size": 12})
    embedder = load("models.embedder", part, Context(data_dir=tmp_path), expected=Embeddings)
    assert embed(embedder, ["one"]).shape == (1, 12)


@pytest.mark.real_model
def test_the_bundled_embedder_knows_meaning_and_its_own_size(tmp_path: Path) -> None:
    embedder = load("models.embedder", Part(use="openvino"), Context(data_dir=tmp_path, threads=1))
    money, refund, printer = embed(embedder, ["How do I get my money back?", "Refund policy", "Clean the print head"])
    assert money @ refund > money @ printer
    assert (embedder.dimensions, name_of(embedder)) == (384, "all-MiniLM-L6-v2-int8")


@pytest.mark.parametrize("compute", [lambda e: embed(e, ["a"]), lambda e: embed_query(e, "a")], ids=["texts", "query"])
def test_a_vendors_failure_is_ours_with_its_cause(compute: Any) -> None:
    class Down(Fixed):
        def embed_documents(self, texts: list[str]) -> Any:
            raise self.answer

        def embed_query(self, text: str) -> Any:
            raise self.answer

    failure = ConnectionError("secret address")
    with pytest.raises(UpstreamDown, match="Down cannot be reached") as caught:
        compute(Down(failure))
    assert caught.value.__cause__ is failure
    assert "secret" not in str(caught.value)

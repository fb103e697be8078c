"""The reranker with torch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foundation.errors import WeightsInvalid
from tests.doubles import tiny_models
from tests.unit.models.test_reranking import QUERY, TEXTS, _load


def test_a_cross_encoder_scores_as_its_library_does(tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder
    from torch.nn import Identity

    folder = tiny_models.cross_encoder(tmp_path / "tiny")
    library = CrossEncoder(str(folder), device="cpu", local_files_only=True, activation_fn=Identity())
    expected = library.predict([(QUERY, text) for text in TEXTS], show_progress_bar=False)
    scores = _load(tmp_path, use="cross_encoder", path=str(folder)).score(QUERY, TEXTS)
    assert scores == pytest.approx(expected.tolist(), abs=1e-5)
    assert len(set(scores)) == len(TEXTS)


def test_a_model_without_one_trained_output_is_no_cross_encoder(tmp_path: Path) -> None:
    """The library would give it a head of random weights, with a warning that nobody reads."""
    with pytest.raises(WeightsInvalid, match="BertModel with 2 outputs"):
        _load(tmp_path, use="cross_encoder", path=str(tiny_models.bert(tmp_path / "encoder")))
    with pytest.raises(WeightsInvalid, match="with 3 outputs"):
        _load(tmp_path, use="cross_encoder", path=str(tiny_models.cross_encoder(tmp_path / "three", labels=3)))


def test_a_broken_folder_of_a_cross_encoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsInvalid, match="no such folder"):
        _load(tmp_path, use="cross_encoder", path=str(tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(WeightsInvalid, match=r"found: pytorch_model\.bin"):
        _load(tmp_path, use="cross_encoder", path=str(tmp_path / "empty"))
    (tmp_path / "empty" / "model.safetensors").write_bytes(b"")
    with pytest.raises(WeightsInvalid, match=r"config\.json is missing"):
        _load(tmp_path, use="cross_encoder", path=str(tmp_path / "empty"))
    (tmp_path / "empty" / "config.json").write_text(json.dumps({}))
    with pytest.raises(WeightsInvalid, match="holds a unknown"):
        _load(tmp_path, use="cross_encoder", path=str(tmp_path / "empty"))

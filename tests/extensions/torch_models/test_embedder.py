"""The embedder with torch, and that the one of the core has the same vectors without it."""
# ruff: noqa: F401, F811 - fixtures of test_openvino.py

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundation.components import Context, load
from foundation.errors import WeightsInvalid
from foundation.settings import Part
from models.embedding import embed, name_of
from tests.unit.models.test_openvino import TEXTS, _change, _load, altered, tiny


def _cosines(left: Any, right: Any) -> Any:
    return np.sum(left.embed_array(TEXTS) * right.embed_array(TEXTS), axis=1)


def test_float32_gives_the_vectors_of_torch_for_a_model_of_any_shape(tiny: Path) -> None:
    ours, theirs = (_load(use, path=str(tiny)) for use in ("openvino", "sentence_transformers"))
    exact = _load("openvino", path=str(tiny), precision="float32")
    assert _cosines(exact, theirs) == pytest.approx(1, abs=1e-5)
    assert _cosines(ours, theirs) == pytest.approx(1, abs=5e-3)
    assert ours.dimensions == 24
    assert (ours.model_name, exact.model_name) == ("tiny-bert-int8", "tiny-bert")


def test_the_first_token_may_stand_for_the_text(altered: Path) -> None:
    _change(altered / "1_Pooling" / "config.json", pooling_mode_mean_tokens=False, pooling_mode_cls_token=True)
    exact = _load("openvino", path=str(altered), precision="float32")
    assert _cosines(exact, _load("sentence_transformers", path=str(altered))) == pytest.approx(1, abs=1e-5)


def test_token_vectors_are_those_of_torch_in_the_order_of_the_texts(tiny: Path) -> None:
    exact = _load("openvino", path=str(tiny), precision="float32").embed_tokens(TEXTS)
    theirs = _load("sentence_transformers", path=str(tiny)).embed_tokens(TEXTS)
    assert [each.shape for each in exact] == [each.shape for each in theirs]
    for ours, expected in zip(exact, theirs, strict=True):
        assert np.sum(ours * expected, axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.real_model
def test_the_bundled_model_has_the_vectors_of_torch() -> None:
    theirs, exact, fast = (
        _load("sentence_transformers"), _load("openvino", precision="float32"), _load("openvino")
    )  # fmt: skip
    assert _cosines(exact, theirs) == pytest.approx(1, abs=1e-5)
    assert _cosines(fast, theirs) == pytest.approx(1, abs=8e-3)  # the empty text is the farthest


@pytest.mark.parametrize("files", [[], ["pytorch_model.bin"], ["config.json", "model.pt"]])
def test_a_folder_without_safetensors_is_refused_before_anything_is_loaded(files: list[str], tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"pickle")
    part = Part.model_validate({"use": "sentence_transformers", "path": str(tmp_path)})
    with pytest.raises(WeightsInvalid, match=r"No \.safetensors"):
        load("models.embedder", part, Context(data_dir=tmp_path))


@pytest.mark.real_model
def test_the_bundled_embedder_knows_meaning_and_its_own_size(tmp_path: Path) -> None:
    embedder = load("models.embedder", Part(use="sentence_transformers"), Context(data_dir=tmp_path, threads=1))
    money, refund, printer = embed(embedder, ["How do I get my money back?", "Refund policy", "Clean the print head"])
    assert money @ refund > money @ printer
    assert (embedder.dimensions, name_of(embedder)) == (384, "all-MiniLM-L6-v2")

"""The judge of entailment with torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from extensions.development.hashing_embedder import HashingEmbedder
from foundation.components import load
from foundation.errors import WeightsInvalid
from foundation.settings import Part
from models.contract import ScoringParts
from tests.doubles import tiny_models


def test_the_output_that_means_supported_is_named_and_its_share_is_the_probability(tmp_path: Path) -> None:
    folder = tiny_models.cross_encoder(tmp_path / "nli", labels=3)
    parts = ScoringParts(data_dir=tmp_path, embedder=HashingEmbedder(8), threads=1)
    shares = [
        load("models.entailment", Part(use="cross_encoder", path=folder, label=label), parts).support([("a", "b")])[0]
        for label in ("label_0", "LABEL_1", "LABEL_2")
    ]
    assert sum(shares) == pytest.approx(1)
    assert len(set(shares)) == 3


@pytest.mark.parametrize("kind", ["labels", "bert"])
def test_a_model_that_does_not_say_what_is_supported_is_refused(kind: str, tmp_path: Path) -> None:
    folder = (
        tiny_models.cross_encoder(tmp_path / "m", labels=3) if kind == "labels" else tiny_models.bert(tmp_path / "m")
    )
    parts = ScoringParts(data_dir=tmp_path, embedder=HashingEmbedder(8), threads=1)
    with pytest.raises(WeightsInvalid, match='called "entailment"'):
        load("models.entailment", Part(use="cross_encoder", path=folder), parts)

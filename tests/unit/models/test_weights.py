"""Weight files: pinned, checked at load, and only in formats that cannot carry code."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from foundation.errors import WeightsInvalid
from models import weights
from models.weights import Weights, digest, verified


def test_the_pinned_file_passes(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"weights")
    assert verified(path, hashlib.sha256(b"weights").hexdigest().upper()) == path


def test_a_missing_file_says_where_it_was_looked_for_and_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(WeightsInvalid, match=r"No weights at .*absent\.gguf.*make setup"):
        verified(tmp_path / "absent.gguf", "0" * 64)


def test_an_altered_file_is_refused_with_both_digests(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"tampered")
    with pytest.raises(WeightsInvalid) as caught:
        verified(path, "ab" * 32)
    assert hashlib.sha256(b"tampered").hexdigest() in str(caught.value)
    assert "ab" * 32 in str(caught.value)


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".pkl", ".ckpt", ".onnx", ""])
def test_other_formats_are_refused_before_they_are_opened(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(WeightsInvalid, match="can run code"):
        verified(tmp_path / f"model{suffix}", None)


def test_a_change_of_the_same_size_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"one")
    first = digest(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert digest(path) != first


def test_the_doctor_sees_a_missing_file_and_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Weights(name="gone", file=str(tmp_path / "gone.gguf"), sha256="0" * 64, licence="-", source="-")
    unknown = Weights(name="x", file="x.gguf", sha256="0" * 64, licence="-", source="-", package="no_such_package_9")
    monkeypatch.setattr(weights, "BUNDLED", (gone, unknown))
    for _, ok, found, advice in weights.checks():
        assert not ok
        assert found
        assert "make setup" in advice
    assert weights.digests() == {}


@pytest.mark.real_model
def test_the_bundled_files_are_the_pinned_ones() -> None:
    assert all(ok for _, ok, _, _ in weights.checks())
    assert weights.digests() == {each.name: each.sha256 for each in weights.BUNDLED}

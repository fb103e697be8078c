"""Weight files: pinned, checked at load, and only in formats that cannot carry code."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from foundation.errors import WeightsInvalid
from foundation.settings import Part
from models import weights
from models.settings import ModelsSettings
from models.weights import Weights, digest, verify


def test_the_pinned_file_passes(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"weights")
    assert verify(path, hashlib.sha256(b"weights").hexdigest().upper()) == path


def test_a_missing_file_says_where_it_was_looked_for_and_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(WeightsInvalid, match=r"No weights at .*absent\.gguf.*make setup"):
        verify(tmp_path / "absent.gguf", "0" * 64)


def test_an_altered_file_is_refused_with_both_digests(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"tampered")
    with pytest.raises(WeightsInvalid) as caught:
        verify(path, "ab" * 32)
    assert hashlib.sha256(b"tampered").hexdigest() in str(caught.value)
    assert "ab" * 32 in str(caught.value)


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".pkl", ".ckpt", ".onnx", ""])
def test_other_formats_are_refused_before_they_are_opened(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(WeightsInvalid, match="can run code"):
        verify(tmp_path / f"model{suffix}", None)


def test_a_change_of_the_same_size_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"one")
    first = digest(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert digest(path) != first


def test_the_doctor_sees_a_missing_file_and_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = {"sha256": "0" * 64, "licence": "-", "source": "-"}
    gone = Weights(name="gone", file=str(tmp_path / "gone.gguf"), adapter="one", **pinned)
    unknown = Weights(name="x", file="x.gguf", adapter="other", package="no_such_package_9", **pinned)
    monkeypatch.setattr(weights, "BUNDLED", (gone, unknown))
    rows = weights.checks([Part(use="one"), Part(use="other")])
    assert len(rows) == 2
    for _, ok, found, advice in rows:
        assert not ok
        assert found
        assert "make setup" in advice
    assert weights.digests() == {}


def test_an_option_that_is_a_long_text_or_empty_names_no_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    monkeypatch.chdir(tmp_path)
    part = Part.model_validate({"use": "langchain:x:Y", "instructions": "Be brief. " * 100, "base_url": ""})
    assert weights.named_in([part], Path()) == []
    assert weights.named_in([Part(use="openvino", path=".")], Path()) == [Path("model.safetensors")]
    nested = Part(use="cascade", cheaper=[{"use": "llama_cpp", "path": "model.safetensors"}], agent={"use": "auto"})
    assert weights.named_in([nested], Path()) == [Path("model.safetensors")]
    monkeypatch.chdir("/")
    found = weights.named_in([Part(use="openvino", path="."), Part(use="openvino", path=str(tmp_path))], tmp_path)
    assert found == [tmp_path / "model.safetensors"] * 2, "beside stack.toml, or in full"


def test_a_named_file_is_read_again_only_when_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(path: Path) -> str:
        read.append(path.name)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(weights, "BUNDLED", ())
    monkeypatch.setattr(weights, "digest", counted)
    (data := tmp_path / "var").mkdir()
    named = [tmp_path / "one.gguf", tmp_path / "two.gguf", tmp_path / "gone.gguf"]
    for path in named[:2]:
        path.write_bytes(path.name.encode())
    first = weights.digests(named, data_dir=data)
    assert first == weights.digests(named[:2])
    read.clear()
    assert weights.digests(named, data_dir=data) == first
    assert read == []

    (new := tmp_path / "new").write_bytes(b"ONE.gguf")
    os.utime(new, ns=(1, named[0].stat().st_mtime_ns))
    new.replace(named[0])
    again = weights.digests(named, data_dir=data)
    assert read == ["one.gguf"]
    assert again[str(named[0])] == hashlib.sha256(b"ONE.gguf").hexdigest()

    (data / weights.REMEMBERED).write_text("{half", encoding="utf-8")
    assert weights.digests(named, data_dir=data) == again
    assert weights.digests(named, data_dir=tmp_path / "no-folder") == again
    assert [path.name for path in data.iterdir()] == [weights.REMEMBERED]


@pytest.mark.parametrize("chat", [Part(use="openai_compatible"), Part(use="llama_cpp", path="own.gguf")])
def test_the_doctor_checks_no_bundled_weights_that_no_part_loads(chat: Part) -> None:
    assert [name for name, *_ in weights.checks([chat, Part(use="hashing")])] == []
    assert [name for name, *_ in weights.checks([chat, Part(use="openvino")])] == [f"weights {weights.MINILM.name}"]


@pytest.mark.real_model
def test_the_bundled_files_are_the_pinned_ones() -> None:
    rows = weights.checks(ModelsSettings().parts)
    assert len(rows) == len(weights.BUNDLED)
    assert all(ok for _, ok, _, _ in rows)
    assert weights.digests() == {each.name: each.sha256 for each in weights.BUNDLED}

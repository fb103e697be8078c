"""A LoRA adapter is served beside the weights that it was made for, and beside no others."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from pydantic import BaseModel

from foundation.components import Context, load
from foundation.errors import WeightsInvalid
from foundation.settings import Part
from models import weights
from models.pricing import identity

pytestmark = pytest.mark.real_model


def _written(to: Path, size: float = 0.1, matrix: str = "blk.0.attn_v.weight", **about: Any) -> Path:
    given = {"architecture": "llama", "base_name": "some model", "base_sha256": weights.SMOLLM2.sha256, **about}
    writer = gguf.GGUFWriter(to, given["architecture"])
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 8.0)
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, given["base_name"])
    writer.add_string(weights.BASE_SHA256, given["base_sha256"])
    for part, shape in (("a", (4, 576)), ("b", (192, 4))):
        writer.add_tensor(f"{matrix}.lora_{part}", np.full(shape, size, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return to


def _load(tmp_path: Path, **options: Any) -> Any:
    given = {"use": "llama_cpp", "max_tokens": 24, **{name: str(value) for name, value in options.items()}}
    return load("models.chat", Part.model_validate(given), Context(data_dir=tmp_path, threads=2))


def _reply(tmp_path: Path, **options: Any) -> str:
    model = _load(tmp_path, **options)
    try:
        return str(model.invoke("Name a colour.").text)
    finally:
        model.close()


def test_an_adapter_changes_what_is_said_and_one_of_zeros_does_not(tmp_path: Path) -> None:
    without = _reply(tmp_path)
    assert _reply(tmp_path, adapter=_written(tmp_path / "zeros.gguf", 0.0)) == without
    assert _reply(tmp_path, adapter=_written(tmp_path / "strong.gguf")) != without


def test_the_models_name_tells_the_adapter_and_schemas_are_kept_to(tmp_path: Path) -> None:
    class Ticket(BaseModel):
        urgent: bool
        days: int

    model = _load(tmp_path, adapter=_written(tmp_path / "desk.gguf", 0.01), max_tokens=64)
    try:
        assert (
            identity(model)[1]
            == model.invoke("Hello.").response_metadata["model_name"]
            == f"{weights.SMOLLM2.name}+desk"
        )
        assert isinstance(model.with_structured_output(Ticket).invoke("A refund takes 14 days."), Ticket)
        tool = {"name": "refund", "description": "Refund.", "parameters": {"type": "object", "properties": {}}}
        assert model.bind_tools([tool]).invoke("Refund it, please.").text  # the bundled model leaves tools alone
    finally:
        model.close()


def test_an_adapter_of_another_base_is_refused_and_both_are_named(tmp_path: Path) -> None:
    path = _written(tmp_path / "other.gguf", base_name="Big-7B", base_sha256="a" * 64)
    with pytest.raises(WeightsInvalid, match=rf"other\.gguf was made for Big-7B .*a{{64}}.*{weights.SMOLLM2.sha256}"):
        _load(tmp_path, adapter=path)


@pytest.mark.parametrize("about", [{"matrix": "blk.99.attn_v.weight"}, {"architecture": "qwen2"}])
def test_one_of_other_shapes_that_does_not_say_its_base_is_refused_by_llama_cpp(
    tmp_path: Path, about: dict[str, str]
) -> None:
    with pytest.raises(WeightsInvalid, match=r"with the adapter .*foreign\.gguf.*was made for it"):
        _load(tmp_path, adapter=_written(tmp_path / "foreign.gguf", base_sha256="", **about))


def test_a_missing_adapter_and_a_whole_model_as_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsInvalid, match=r"No weights at .*gone\.gguf"):
        _load(tmp_path, adapter=tmp_path / "gone.gguf")
    with pytest.raises(WeightsInvalid, match="of the type model, not a LoRA adapter"):
        _load(tmp_path, adapter=weights.SMOLLM2.path)


@pytest.mark.parametrize("held", [b"", b"hello", b"GGUF" + bytes(100), slice(0, 300), slice(0, 3000)])
def test_a_damaged_adapter_is_refused(tmp_path: Path, held: bytes | slice) -> None:
    path = _written(tmp_path / "damaged.gguf")
    path.write_bytes(path.read_bytes()[held] if isinstance(held, slice) else held)
    with pytest.raises(WeightsInvalid, match=r"damaged\.gguf is no readable GGUF file"):
        _load(tmp_path, adapter=path)


def test_a_pinned_adapter_must_be_the_pinned_one(tmp_path: Path) -> None:
    path = _written(tmp_path / "desk.gguf")
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    assert weights.check_adapter(path, right, base=weights.SMOLLM2.path) == path
    with pytest.raises(WeightsInvalid, match="is not the pinned file"):
        _load(tmp_path, adapter=path, adapter_sha256="0" * 64)


def test_the_manifest_has_the_weights_that_the_parts_name(tmp_path: Path) -> None:
    path = _written(tmp_path / "desk.gguf")
    (folder := tmp_path / "encoder").mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    parts = [Part.model_validate({"use": "llama_cpp", "adapter": str(path)}),
             Part.model_validate({"use": "openvino", "path": str(folder)}),
             Part.model_validate({"use": "llama_cpp", "path": str(tmp_path / "gone.gguf"), "seed": 3})]  # fmt: skip
    found = weights.digests(weights.named_in(parts, Path()))
    assert found[str(path)] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found[str(folder / "model.safetensors")] == hashlib.sha256(b"weights").hexdigest()
    assert len(found) == len(weights.BUNDLED) + 2

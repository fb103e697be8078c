"""A LoRA adapter in GGUF, as llama.cpp applies it beside the weights that it was made for.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021. An adapter fits one base model only: on another of
the same shapes llama.cpp would apply it without a word, and the replies would be worse than either's. So it carries the
SHA-256 of its base, and whoever loads it compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from foundation.errors import WeightsInvalid
from models import weights

BASE_SHA256 = "sixply.base.sha256"
"""The key in the file."""


@dataclass(frozen=True, kw_only=True)
class Lora:
    """What stands in the file. Of a base matrix W, out x in, `matrices` has A (rank x in) and B (out x rank), and what is
    served is W + alpha / rank * B A."""

    architecture: str
    """As llama.cpp calls it: `llama`, `qwen2`."""
    base_name: str
    base_sha256: str
    alpha: float
    matrices: Mapping[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]
    """By the name of the base matrix: `blk.0.attn_v.weight`."""


def write(lora: Lora, to: Path) -> None:
    """Write the file whole or not at all. Raises OSError where that cannot be done."""
    import gguf

    to.parent.mkdir(parents=True, exist_ok=True)
    new = to.with_name(f"{to.name}.new")
    writer = gguf.GGUFWriter(new, lora.architecture)
    try:
        writer.add_type("adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", lora.alpha)
        writer.add_base_model_count(1)
        writer.add_base_model_name(0, lora.base_name)
        writer.add_string(BASE_SHA256, lora.base_sha256)
        for name, (a, b) in lora.matrices.items():
            writer.add_tensor(f"{name}.lora_a", np.ascontiguousarray(a, np.float32))
            writer.add_tensor(f"{name}.lora_b", np.ascontiguousarray(b, np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        new.replace(to)
    finally:
        new.unlink(missing_ok=True)


def check_adapter(path: Path, sha256: str | None, *, base: Path) -> Path:
    """Return `path` if it is a LoRA adapter in GGUF that was made for the weights at `base`.

    One that does not say for which weights it was made, from another tool, is taken: whether its shapes fit, llama.cpp says.

    Raises:
        WeightsInvalid: it is missing, not the pinned one, no adapter, or another base model's.
    """
    weights.verify(path, sha256)
    fields = _text_fields(path)
    if (fields.get("general.type"), fields.get("adapter.type")) != ("adapter", "lora"):
        raise WeightsInvalid(
            f"{path} is a GGUF file of the type {fields.get('general.type', '(none)')}, not a LoRA adapter. "
            f'Name a whole model with "path", and an adapter with "adapter".'
        )
    made_for = fields.get(BASE_SHA256)
    if made_for and made_for != (here := weights.digest(base)):
        raise WeightsInvalid(
            f"{path} was made for {fields.get('general.base_model.0.name', 'other weights')} with the SHA-256 {made_for}, "
            f"and the model is {base} with {here}. Train it again for this model (make finetune PART=chat), or name the one "
            f'that it was made for as "path".'
        )
    return path


def _text_fields(path: Path) -> dict[str, str]:
    import gguf

    try:
        fields = gguf.GGUFReader(path).fields
        return {
            name: str(field.contents()) for name, field in fields.items() if field.types == [gguf.GGUFValueType.STRING]
        }
    except (ValueError, IndexError, KeyError, OSError, UnicodeDecodeError) as error:
        raise WeightsInvalid(
            f"{path} is no readable GGUF file: {error}. A LoRA adapter of PEFT in safetensors must be converted first: "
            f"llama.cpp's convert_lora_to_gguf.py does."
        ) from error

"""Writes a LoRA adapter in GGUF, as llama.cpp applies it beside the weights that it was made for.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021. The file carries the SHA-256 of its base, which
`models.weights.check_adapter` compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.weights import BASE_SHA256


@dataclass(frozen=True, kw_only=True)
class Lora:
    """What stands in the file. Of a base matrix W, out x in, `matrices` has A (rank x in) and B (out x rank), and what is
    served is W + alpha / rank * B A.
    """

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

"""Models small enough for a test, made here from random weights and the tokenizer of the bundled one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from models.weights import MINILM

SHAPE: dict[str, Any] = {
    "vocab_size": 30522, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40,
    "max_position_embeddings": 64, "layer_norm_eps": 1e-5,
}  # fmt: skip


def cross_encoder(folder: Path, *, labels: int = 1) -> Path:
    """A BERT of two layers with a classifier on top, as `CrossEncoder` loads it. It knows nothing: what a real one would
    add, its weights, is the same code.
    """
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(7)
    BertForSequenceClassification(BertConfig(**SHAPE, num_labels=labels)).eval().save_pretrained(folder)
    _tokenizer(folder)
    return folder


def bert(folder: Path) -> Path:
    """A sentence-transformers folder with a BERT of two layers."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_weights(np.random.default_rng(7)), folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu", "type_vocab_size": 2,
        "position_embedding_type": "absolute", "pad_token_id": 0, **SHAPE,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    _tokenizer(folder)
    bundled = MINILM.path.parent
    shutil.copytree(bundled / "1_Pooling", folder / "1_Pooling")
    shutil.copy(bundled / "modules.json", folder / "modules.json")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 32}), encoding="utf-8")
    return folder


def _weights(random: np.random.Generator) -> dict[str, Any]:
    width, inner = SHAPE["hidden_size"], SHAPE["intermediate_size"]
    tables = {"word": SHAPE["vocab_size"], "position": SHAPE["max_position_embeddings"], "token_type": 2}
    shapes = {f"embeddings.{name}_embeddings.weight": (rows, width) for name, rows in tables.items()}
    norms = ["embeddings.LayerNorm"]
    dense = {"pooler.dense": (width, width)}
    for layer in (f"encoder.layer.{number}" for number in range(SHAPE["num_hidden_layers"])):
        dense |= {f"{layer}.attention.self.{name}": (width, width) for name in ("query", "key", "value")}
        dense |= {f"{layer}.attention.output.dense": (width, width), f"{layer}.intermediate.dense": (inner, width)}
        dense |= {f"{layer}.output.dense": (width, inner)}
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    shapes |= {f"{name}.weight": shape for name, shape in dense.items()}
    weights = {name: random.normal(0, 0.02, shape).astype(np.float32) for name, shape in shapes.items()}
    weights |= {f"{name}.bias": np.zeros(shape[0], np.float32) for name, shape in dense.items()}
    weights |= {f"{name}.weight": np.ones(width, np.float32) for name in norms}
    return weights | {f"{name}.bias": np.zeros(width, np.float32) for name in norms}


def _tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(MINILM.path.parent / name, folder / name)

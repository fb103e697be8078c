"""Models small enough for a test, made here from random weights and the tokenizer of the bundled one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from models.weights import MINILM


def cross_encoder(folder: Path, *, labels: int = 1) -> Path:
    """A BERT of two layers with a classifier on top, as `CrossEncoder` loads it. It knows nothing: what a real one would
    add, its weights, is the same code.
    """
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(7)
    BertForSequenceClassification(_config(BertConfig, num_labels=labels)).eval().save_pretrained(folder)
    _tokenizer(folder)
    return folder


def bert(folder: Path) -> Path:
    """A sentence-transformers folder with a BERT of two layers."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(7)
    BertModel(_config(BertConfig)).eval().save_pretrained(folder)
    _tokenizer(folder)
    bundled = MINILM.path.parent
    shutil.copytree(bundled / "1_Pooling", folder / "1_Pooling")
    shutil.copy(bundled / "modules.json", folder / "modules.json")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 32}), encoding="utf-8")
    return folder


def _config(kind: type, **more: object) -> object:
    return kind(
        vocab_size=30522, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
        max_position_embeddings=64, layer_norm_eps=1e-5, **more,
    )  # fmt: skip


def _tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(MINILM.path.parent / name, folder / name)

"""A BERT encoder as an OpenVINO graph, built directly from its safetensors, without torch or a converted copy.

Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", 2018, with sentence-transformers' pooling on top. With
`int8` each matrix is kept as integers and one factor a row (symmetric, nearest), and the CPU quantises a row of
activations in groups as it multiplies: see `models/encoders/compiled.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from foundation.errors import WeightsInvalid

if TYPE_CHECKING:
    import openvino

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Bert:
    """The configuration of a BERT from a sentence-transformers folder, as far as the graph depends on it."""

    folder: Path
    layers: int
    heads: int
    hidden: int
    epsilon: float
    positions: int
    max_tokens: int
    pooling: str
    """Pooling of the token vectors: their `mean`, or the first one, `cls`."""

    @property
    def weights(self) -> Path:
        return self.folder / "model.safetensors"

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Read the folder's configuration. Raises WeightsInvalid: the graph would compute this model wrongly."""
        config, modules = _json(folder / "config.json"), _json(folder / "modules.json")
        pooling = _json(folder / "1_Pooling" / "config.json")
        flags = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}
        chosen = [name for name in flags if pooling.get("pooling_mode") == name or pooling.get(flags[name])]
        parts = [str(module["type"]).rpartition(".")[2] for module in modules]
        expected = {
            "model_type": config.get("model_type") == "bert",
            "hidden_act": config.get("hidden_act") == "gelu",
            "position_embedding_type": config.get("position_embedding_type", "absolute") == "absolute",
            "modules": parts in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]),
            "pooling": len(chosen) == 1,
        }
        if wrong := [name for name, fits in expected.items() if not fits]:
            raise WeightsInvalid(
                f"{folder} is no BERT with mean or cls pooling as this adapter builds it ({', '.join(wrong)} differ). "
                f'Use the adapter "sentence_transformers" for it.'
            )
        limit = _json(folder / "sentence_bert_config.json").get("max_seq_length")
        # sentence-transformers uses the tokenizer's limit since release 6; its "none" is a number of thirty digits
        file = folder / "tokenizer_config.json"
        own_limit = int(_json(file).get("model_max_length") or sys.maxsize) if file.exists() else sys.maxsize
        return cls(
            folder=folder,
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            hidden=config["hidden_size"],
            epsilon=config["layer_norm_eps"],
            positions=config["max_position_embeddings"],
            max_tokens=limit or min(own_limit, config["max_position_embeddings"]),
            pooling=chosen[0],
        )


def engine() -> Any:
    """Import and return the module `openvino` with its telemetry package hidden, so that it sends nothing."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # an import of it now fails
    import openvino

    return openvino


def graph(bert: Bert, *, int8: bool) -> openvino.Model:
    """Build the graph: token ids, int32, and mask, float32, both (texts, tokens), to unit vectors, (texts, hidden), and
    token vectors, (texts, tokens, hidden), undefined where padded. Raises WeightsInvalid: a tensor is missing.
    """
    return Graph(bert, _read_tensors(bert.weights), int8=int8).model()


def _read_tensors(file: Path) -> dict[str, Array]:
    try:
        with safe_open(file, "numpy") as tensors:
            return {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118  # not a dict
    except (OSError, SafetensorError) as error:
        raise WeightsInvalid(f"{file} cannot be read as safetensors: {error}. Fetch it again.") from error


class Graph:
    """Builds one graph. Tensors have the names of transformers' `BertModel`."""

    def __init__(self, bert: Bert, tensors: Mapping[str, Array], *, int8: bool) -> None:
        engine()
        import openvino.opset13 as operations

        self.op: Any = operations
        self.bert = bert
        self.int8 = int8
        self.tensors = tensors

    def model(self) -> openvino.Model:
        op = self.op
        entry = self.entry()
        mask = op.parameter([-1, -1], np.float32, name="mask")
        tokens = self.embed(entry)
        for number in range(self.bert.layers):
            tokens = self.layer(tokens, mask, f"encoder.layer.{number}")
        vectors = op.normalize_l2(self.pool(tokens, mask), op.constant(_integers(1)), 1e-12, "max")
        return engine().Model([vectors, tokens], [entry, mask], "bert")

    def entry(self) -> Any:
        return self.op.parameter([-1, -1], np.int32, name="ids")

    def words(self, entry: Any) -> Any:
        """Return the word embeddings of what the graph takes, which are the token ids."""
        op = self.op
        return op.gather(op.constant(self.tensor("embeddings.word_embeddings.weight")), entry, op.constant(np.int32(0)))

    def embed(self, entry: Any) -> Any:
        """Add word and position embeddings. The token type is always 0, so its vector is added to the positions beforehand."""
        op = self.op
        positions = self.tensor("embeddings.position_embeddings.weight")
        positions = positions + self.tensor("embeddings.token_type_embeddings.weight")[0]
        length = op.gather(op.shape_of(entry, "i32"), op.constant(_integers(1)), op.constant(np.int32(0)))
        first, step, axis = (op.constant(_integers(value)) for value in (0, 1, 0))
        place = op.slice(op.constant(positions), first, length, step, axis)
        return self.layer_norm(op.add(self.words(entry), place), "embeddings.LayerNorm")

    def layer(self, tokens: Any, mask: Any, name: str) -> Any:
        op = self.op
        seen = self.linear(self.attention(tokens, mask, f"{name}.attention.self"), f"{name}.attention.output.dense")
        tokens = self.layer_norm(op.add(seen, tokens), f"{name}.attention.output.LayerNorm")
        wide = op.gelu(self.linear(tokens, f"{name}.intermediate.dense"), "erf")
        return self.layer_norm(op.add(self.linear(wide, f"{name}.output.dense"), tokens), f"{name}.output.LayerNorm")

    def attention(self, tokens: Any, mask: Any, name: str) -> Any:
        """Compute scaled dot-product attention of all heads; padded tokens get no weight."""
        op = self.op
        split = op.constant(_integers(0, 0, self.bert.heads, self.bert.hidden // self.bert.heads))
        turned = op.constant(_integers(0, 2, 1, 3))
        by_head = [
            op.transpose(op.reshape(self.linear(tokens, f"{name}.{part}"), split, True), turned)
            for part in ("query", "key", "value")
        ]
        wide = op.unsqueeze(mask, op.constant(_integers(1, 2)))  # (texts, 1, 1, tokens)
        hidden = op.multiply(op.subtract(wide, op.constant(np.float32(1))), op.constant(np.float32(1e9)))
        seen = op.transpose(op.scaled_dot_product_attention(*by_head, hidden), turned)
        return op.reshape(seen, op.constant(_integers(0, 0, self.bert.hidden)), True)

    def pool(self, tokens: Any, mask: Any) -> Any:
        op = self.op
        if self.bert.pooling == "cls":
            return op.gather(tokens, op.constant(np.int32(0)), op.constant(np.int32(1)))
        wide, axis = op.unsqueeze(mask, op.constant(_integers(2))), op.constant(_integers(1))
        return op.divide(op.reduce_sum(op.multiply(tokens, wide), axis, False), op.reduce_sum(wide, axis, False))

    def linear(self, x: Any, name: str) -> Any:
        op = self.op
        matrix = self.tensor(f"{name}.weight")
        weights = self.integers(matrix) if self.int8 else op.constant(matrix)
        return op.add(op.matmul(x, weights, False, True), op.constant(self.tensor(f"{name}.bias")))

    def integers(self, matrix: Array) -> Any:
        """Return the matrix as int8 times a factor per row, in the form that the CPU plugin multiplies without unpacking."""
        op = self.op
        factors = np.maximum(np.abs(matrix).max(axis=1, keepdims=True), 1e-12).astype(np.float32) / np.float32(127)
        whole = np.rint(matrix / factors).astype(np.int8)
        return op.multiply(op.convert(op.constant(whole), "f32"), op.constant(factors))

    def layer_norm(self, x: Any, name: str) -> Any:
        op = self.op
        even = op.mvn(x, op.constant(_integers(-1)), True, self.bert.epsilon, "INSIDE_SQRT")
        scaled = op.multiply(even, op.constant(self.tensor(f"{name}.weight")))
        return op.add(scaled, op.constant(self.tensor(f"{name}.bias")))

    def tensor(self, name: str) -> Array:
        """Return a tensor as float32. Some files have the prefix `bert.`."""
        array = self.tensors.get(name, self.tensors.get(f"bert.{name}"))
        if array is None:
            raise WeightsInvalid(f"{self.bert.folder} has no tensor {name}: it is no complete BERT. Fetch it again.")
        return np.asarray(array, dtype=np.float32)


def _integers(*values: int) -> Array:
    return np.array(values, dtype=np.int32)


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsInvalid(
            f"{file} is missing or not JSON: {error}. It should be a sentence-transformers folder."
        ) from error

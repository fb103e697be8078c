"""The default embedder: a BERT from sentence-transformers on the CPU by OpenVINO, without torch. Bundled: all-MiniLM-L6-v2.

Against torch on the same threads: `make bench-ingest AGAINST=sentence_transformers`. The vectors of int8 and float32 cannot be mixed
in one index: the ledger's fingerprint tells them apart.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.embeddings import Embeddings
from pydantic import Field

from foundation.components import Context
from foundation.errors import InvalidSetting, WeightsInvalid
from foundation.settings import BESIDE_STACK, Section
from models import weights
from models.encoders.bert import Bert, engine, graph
from models.encoders.compiled import CompiledEmbedder, compile_graph

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Options(Section):
    path: Path | None = Field(default=None, json_schema_extra=BESIDE_STACK)
    """A sentence-transformers folder with a BERT in safetensors; `None`: the bundled all-MiniLM-L6-v2."""
    precision: Literal["int8", "float32"] = "int8"
    threads: int | None = Field(default=None, ge=1)
    """Number of threads, each of which embeds texts of its own; `None`: that of the system."""
    batch_size: int = Field(default=4, ge=1)
    """Texts per batch. More is slower: measured, 32 take a fifth longer than 4."""
    max_tokens: int | None = Field(default=None, ge=8)
    """Tokens to which texts are cut; `None`: the model's own limit (256 for the bundled one)."""


def build(options: Options, context: Context) -> Embeddings:
    """Read configuration and tokenizer; a thread compiles the graph. Raises WeightsInvalid, InvalidSetting."""
    folder = options.path or weights.MINILM.path.parent
    bert = Bert.of(folder)
    limit = options.max_tokens or bert.max_tokens
    if limit > bert.positions:
        raise InvalidSetting(
            f"[models.embedder] max_tokens = {limit}, but {folder.name} knows {bert.positions} places. Lower it."
        )
    threads = options.threads or context.threads
    bundled = options.path is None
    name = weights.MINILM.name if bundled else folder.name
    engine()  # imported here, since parallel imports can see half-initialised modules
    return CompiledEmbedder(
        partial(_compile, bert, int8=options.precision == "int8", sha256=weights.MINILM.sha256 if bundled else None),
        _tokenizer(folder, limit),
        name=f"{name}-int8" if options.precision == "int8" else name,
        dimensions=bert.hidden,
        threads=threads,
        batch_size=options.batch_size,
    )


def _compile(bert: Bert, threads: int, *, int8: bool, sha256: str | None) -> Any:
    weights.verify(bert.weights, sha256)
    return compile_graph(graph(bert, int8=int8), threads, int8=int8)


def _tokenizer(folder: Path, max_tokens: int) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises bare Exceptions
        raise WeightsInvalid(f"{folder / 'tokenizer.json'} cannot be read: {error}. Fetch the model again.") from error
    tokenizer.no_padding()  # set once and never again: a tokenizer that is not changed may be shared by threads
    tokenizer.enable_truncation(max_tokens)
    return tokenizer

"""Any sentence-transformers CrossEncoder from a local folder, by torch on the CPU.

    [models.reranker]
    use = "cross_encoder"
    path = "weights/ms-marco-MiniLM-L6-v2"

A cross-encoder reads query and text together: Nogueira and Cho, "Passage Re-ranking with BERT", 2019. None is bundled:
no package carries the weights of one that could be trusted.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from foundation.components import Context
from foundation.errors import WeightsInvalid
from models import weights
from models.contract import Reranker

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    """A folder with a sequence classifier of one output, in safetensors, and its tokenizer."""
    batch_size: int = Field(default=8, ge=1)
    max_tokens: int | None = Field(default=None, ge=8)
    """Query and text together are cut here; `None` is the model's own limit."""
    threads: int | None = Field(default=None, ge=1)


class CrossEncoderReranker:
    """Scores are the model's logits, on no fixed scale. Safe to call from several threads: a lock lets one in at a time,
    because the fast tokenizer keeps its padding in shared state, and the threads that count are torch's own."""

    def __init__(self, model: CrossEncoder, *, name: str, batch_size: int) -> None:
        self.model_name = name
        self._model = model
        self._batch_size = batch_size
        self._lock = threading.Lock()

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        if not texts:
            return []
        pairs = [(query, text) for text in texts]
        with self._lock:
            scores = self._model.predict(pairs, batch_size=self._batch_size, show_progress_bar=False)
        return [float(score) for score in scores]


def build(options: Options, context: Context) -> Reranker:
    """Check the weights, then load them. Raises WeightsInvalid for a missing or pickled file, or another kind of model."""
    folder = _checked_classifier(options.path)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in models/embedders/sentence_transformers.py
    import torch
    from sentence_transformers import CrossEncoder
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # a bar on stderr for half a second
    torch.set_num_threads(options.threads or context.threads)
    model = CrossEncoder(
        str(folder),
        device="cpu",
        max_length=options.max_tokens,
        activation_fn=torch.nn.Identity(),  # a sigmoid would press the best ones together
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"use_safetensors": True},
    )
    return CrossEncoderReranker(model, name=folder.name, batch_size=options.batch_size)


def _checked_classifier(path: Path) -> Path:
    """A model that is no classifier would get a head of random weights from the library, with no more than a warning."""
    folder = weights.checked_folder(path)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsInvalid(
            f"{folder / 'config.json'} is missing or not JSON: {error}. Fetch the model again."
        ) from error
    kind = (config.get("architectures") or ["unknown"])[0]
    outputs = len(config.get("id2label") or {"0": "", "1": ""})
    if not kind.endswith("ForSequenceClassification") or outputs != 1:
        raise WeightsInvalid(
            f"{folder} holds a {kind} with {outputs} outputs. A cross-encoder is a classifier with one output: "
            f"...ForSequenceClassification with one label."
        )
    return folder

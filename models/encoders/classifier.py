"""Models of torch from a local folder: how they are loaded, and the classifier of pairs that rerankers and judges of entailment share."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from foundation.components import Context
from foundation.errors import WeightsInvalid
from foundation.settings import Section
from models import weights

LOCALLY: dict[str, Any] = {
    "device": "cpu",
    "local_files_only": True,
    "trust_remote_code": False,
    "model_kwargs": {"use_safetensors": True},
}
"""How sentence-transformers loads any model here."""
CLASSIFIES = "ForSequenceClassification"
"""How the class of a classifier ends."""


class ClassifierOptions(Section):
    path: Path
    """A folder with a sequence classifier in safetensors, and its tokenizer."""
    batch_size: int = Field(default=8, ge=1)
    max_tokens: int | None = Field(default=None, ge=8)
    """Both texts of a pair together are cut here, the longer one first; `None` is the model's own limit."""
    threads: int | None = Field(default=None, ge=1)


def read_labels(path: Path) -> tuple[str, tuple[str, ...]]:
    """The class of a folder's model, such as `BertForSequenceClassification`, and the names of its outputs in their order. To one
    that is no classifier the library would give a head of random weights, with no more than a warning.

    Raises:
        WeightsInvalid: weights or configuration are missing or pickled.
    """
    file = weights.checked_folder(path) / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsInvalid(f"{file} is missing or not JSON: {error}. Fetch the model again.") from error
    kind = str((config.get("architectures") or ["unknown"])[0])
    labels = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    return kind, tuple(str(labels[number]) for number in sorted(labels, key=int))


class PairClassifier:
    """Safe to call from several threads: a lock lets one in at a time, because the fast tokenizer keeps its padding in
    shared state, and the threads that count are torch's own."""

    def __init__(self, options: ClassifierOptions, context: Context) -> None:
        prepare_torch(options.threads or context.threads)
        from sentence_transformers import CrossEncoder
        from torch.nn import Identity

        self.name = options.path.name
        self._batch_size = options.batch_size
        self._lock = threading.Lock()
        # A sigmoid as activation would press the best ones together.
        self._model = CrossEncoder(
            str(options.path), max_length=options.max_tokens, activation_fn=Identity(), **LOCALLY
        )

    def logits(self, pairs: Sequence[tuple[str, str]]) -> Any:
        """The outputs for each pair before any activation: shape (pairs,) of a model with one output, else (pairs, outputs)."""
        with self._lock:
            return self._model.predict(list(pairs), batch_size=self._batch_size, show_progress_bar=False)


def prepare_torch(threads: int) -> None:
    """Import torch so that it computes with so many threads and shows no bars."""
    # Threads that wait must sleep: spinning at barriers on a busy machine turned a query of 15 ms into one second.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read once, when torch is imported
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # a bar on stderr for half a second
    torch.set_num_threads(threads)

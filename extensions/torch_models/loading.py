"""Torch models from a local folder: loading, and the pair classifier of rerankers and judges of entailment."""

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from foundation.components import Context
from foundation.errors import WeightsInvalid
from foundation.settings import BESIDE_STACK, Section

# Nothing from a hub, no code of the model's own, no pickles
LOCALLY: dict[str, Any] = {"device": "cpu", "local_files_only": True, "trust_remote_code": False}
LOCALLY["model_kwargs"] = {"use_safetensors": True}
# Suffix of the class name of a classifier
CLASSIFIES = "ForSequenceClassification"


class ClassifierOptions(Section):
    path: Path = Field(json_schema_extra=BESIDE_STACK)
    """A folder with a sequence classifier in safetensors, and its tokenizer."""
    batch_size: int = Field(default=8, ge=1)
    max_tokens: int | None = Field(default=None, ge=8)
    """Tokens to which a pair is cut, the longer text first; `None`: the model's own limit."""
    threads: int | None = Field(default=None, ge=1)


def checked_folder(path: Path) -> Path:
    """Return `path`. Raises WeightsInvalid: the folder has no weights in safetensors."""
    if not path.is_dir() or not any(path.glob("*.safetensors")):
        others = ", ".join(sorted(file.name for file in path.glob("*"))) if path.is_dir() else "no such folder"
        raise WeightsInvalid(
            f"No .safetensors weights in {path} (found: {others or 'nothing'}). Only that format is loaded."
        )
    return path


def read_labels(path: Path) -> tuple[str, tuple[str, ...]]:
    """Return the class of a folder's model and the names of its outputs in order. Raises WeightsInvalid.

    Check the class: the library gives any other model a head of random weights, with a mere warning.
    """
    file = checked_folder(path) / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsInvalid(f"{file} is missing or not JSON: {error}. Fetch the model again.") from error
    kind = str((config.get("architectures") or ["unknown"])[0])
    labels = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    return kind, tuple(str(labels[number]) for number in sorted(labels, key=int))


class PairClassifier:
    """A classifier of text pairs. Thread-safe by a lock: the fast tokenizer keeps its padding in shared state."""

    def __init__(self, options: ClassifierOptions, context: Context) -> None:
        prepare_torch(options.threads or context.threads)
        from sentence_transformers import CrossEncoder
        from torch.nn import Identity

        self.name = options.path.name
        self._batch_size = options.batch_size
        self._lock = threading.Lock()
        # No sigmoid: it would compress the differences of the best scores.
        self._model = CrossEncoder(
            str(options.path), max_length=options.max_tokens, activation_fn=Identity(), **LOCALLY
        )

    def logits(self, pairs: Sequence[tuple[str, str]]) -> Any:
        """Return the outputs before any activation: shape (pairs,) for a model with one output, else (pairs, outputs)."""
        with self._lock:
            return self._model.predict(list(pairs), batch_size=self._batch_size, show_progress_bar=False)


def prepare_torch(threads: int) -> None:
    """Import torch, limit it to `threads` threads, and turn off progress bars."""
    # Threads that wait must sleep: spinning at barriers on a busy machine turned a query of 15 ms into one second.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read once, when torch is imported
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # a bar on stderr for half a second
    torch.set_num_threads(threads)

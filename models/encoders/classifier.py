"""A classifier of pairs of texts from a local folder, by sentence-transformers and torch on the CPU.

What rerankers and judges of entailment share: the check of the folder, and a model that several threads may call.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import WeightsInvalid
from models import weights

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


@dataclass(frozen=True, slots=True)
class ClassifierFolder:
    """A folder with a sequence classifier in safetensors."""

    path: Path
    kind: str
    """Its class, such as `BertForSequenceClassification`."""
    labels: tuple[str, ...]
    """The names of its outputs, in their order."""

    @classmethod
    def checked(cls, path: Path) -> ClassifierFolder:
        """A model that is no classifier would get a head of random weights from the library, with no more than a warning.

        Raises:
            WeightsInvalid: weights or configuration are missing or pickled, or it is another kind of model.
        """
        folder = weights.checked_folder(path)
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise WeightsInvalid(
                f"{folder / 'config.json'} is missing or not JSON: {error}. Fetch the model again."
            ) from error
        kind = str((config.get("architectures") or ["unknown"])[0])
        labels = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
        return cls(folder, kind, tuple(str(labels[number]) for number in sorted(labels, key=int)))

    @property
    def classifies(self) -> bool:
        return self.kind.endswith("ForSequenceClassification")


class PairClassifier:
    """Safe to call from several threads: a lock lets one in at a time, because the fast tokenizer keeps its padding in
    shared state, and the threads that count are torch's own."""

    def __init__(self, model: CrossEncoder, *, batch_size: int) -> None:
        self._model = model
        self._batch_size = batch_size
        self._lock = threading.Lock()

    def logits(self, pairs: Sequence[tuple[str, str]]) -> Any:
        """The outputs for each pair before any activation: shape (pairs,) of a model with one output, else (pairs, outputs)."""
        with self._lock:
            return self._model.predict(list(pairs), batch_size=self._batch_size, show_progress_bar=False)


def open_classifier(
    folder: ClassifierFolder, *, batch_size: int, max_tokens: int | None, threads: int
) -> PairClassifier:
    """Load it; both texts of a pair together are cut at `max_tokens`, or at the model's own limit."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in models/embedders/sentence_transformers.py
    import torch
    from sentence_transformers import CrossEncoder
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # a bar on stderr for half a second
    torch.set_num_threads(threads)
    model = CrossEncoder(
        str(folder.path),
        device="cpu",
        max_length=max_tokens,
        activation_fn=torch.nn.Identity(),  # a sigmoid would press the best ones together
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"use_safetensors": True},
    )
    return PairClassifier(model, batch_size=batch_size)

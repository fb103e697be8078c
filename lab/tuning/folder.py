"""The folder of a tuned model: complete and with its record, or not there at all."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from extensions.torch_models.loading import checked_folder
from foundation.errors import InvalidRequest, InvalidSetting, MissingDependency
from models import weights

RECORD = "tuning.json"
"""In a tuned folder: what it was tuned from, on which data, and what that was worth."""
PACKAGES = ("accelerate", "datasets", "peft")
"""Of the extra `finetune`."""
LIBRARIES = (*PACKAGES, "gguf", "sentence-transformers", "torch", "transformers")


def demand_packages() -> None:
    """Before anything is read or computed, and before a library of models is imported: from here on this process asks no
    model hub.

    Raises:
        MissingDependency: the extra `finetune` is not installed.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in extensions/torch_models/loading.py
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise MissingDependency(
            f"Fine-tuning needs {', '.join(missing)}, which is not installed. Run: make setup WITH=finetune"
        )


def demand_place(to: Path) -> None:
    """Raises InvalidRequest where something lies at `to` that no tuning wrote: it would be lost."""
    if to.exists() and not (to / RECORD).is_file():
        raise InvalidRequest(f"{to} exists and was not written by make finetune. Name another folder with TO=folder.")


@contextmanager
def beside(to: Path) -> Iterator[Path]:
    """A folder to write into, which takes the place of `to` when the block ends; an error, or an end of the process, leaves
    `to` as it was. An end between the last two steps leaves it under another name, and the next call puts it back.

    Raises:
        InvalidRequest: as `demand_place`. InvalidSetting: there is no way to write there.
    """
    before = to.with_name(f".{to.name}.before")
    _put_back(before, to)
    demand_place(to)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        workplace = Path(tempfile.mkdtemp(prefix=f".{to.name}-", dir=to.parent))
    except OSError as error:
        raise InvalidSetting(
            f"Nothing can be written beside {to}: {error}. Name another folder with TO=folder."
        ) from error
    try:
        new = workplace / to.name  # adapters call a model by the name of its folder
        new.mkdir()
        yield new
        if to.exists():
            to.replace(before)
        new.replace(to)
    finally:
        _put_back(before, to)
        shutil.rmtree(workplace, ignore_errors=True)


def _put_back(before: Path, to: Path) -> None:
    if before.exists() and not to.exists():
        before.replace(to)
    shutil.rmtree(before, ignore_errors=True)


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """`record`, with the versions of the libraries, beside the weights."""
    content = {**record, "libraries": {name: metadata.version(name) for name in LIBRARIES}}
    (folder / RECORD).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def origin(folder: Path) -> dict[str, str]:
    """Name and SHA-256 of the weights that a model is tuned from. Raises WeightsInvalid where there are none."""
    bundled = weights.MINILM.path
    if folder == bundled.parent:
        return {"name": weights.MINILM.name, "sha256": weights.digest(weights.MINILM.verify())}
    files = sorted(checked_folder(folder).glob("*.safetensors"))
    return {"name": folder.name, "sha256": " ".join(map(weights.digest, files))}

"""The bundled chat model as training reads it, read once a process: each test trains a copy of its own."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from importlib import import_module, util
from pathlib import Path
from typing import Any

import pytest

from lab.tuning import chat
from models import weights


@pytest.fixture(scope="module", autouse=True)
def weights_read_once() -> Iterator[None]:
    """To undo the file's quantisation takes longer than all that these tests train; so does to index it, as transformers does thrice."""
    read = cache(chat._load)

    def load_copy(base: Path) -> tuple[Any, Any]:
        model, tokenizer = read(base)
        return copy.deepcopy(model), tokenizer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chat, "_load", load_copy)
        if util.find_spec("gguf"):
            _index_once(patch)
        yield


def _index_once(patch: pytest.MonkeyPatch) -> None:
    gguf: Any = import_module("gguf")
    index = gguf.GGUFReader
    indexed = cache(index)
    bundled = str(weights.SMOLLM2.path)
    patch.setattr(gguf, "GGUFReader", lambda path: indexed(bundled) if str(path) == bundled else index(path))
    # transformers asks for the same table of names once for each part of the model, five seconds in all
    patch.setattr(gguf, "get_tensor_name_map", cache(gguf.get_tensor_name_map))

"""What is here: a project that `make new` made has not every extension, adapter and double."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any


def is_there(module: str) -> bool:
    """Whether a module exists in this tree, whatever else is installed."""
    place = Path(__file__).parents[1].joinpath(*module.split("."))
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def load_if_there(module: str) -> Any:
    """Import a module; return `None` where it is not here."""
    return importlib.import_module(module) if is_there(module) else None

"""Chunkers, a file each. LangChain's splitters are taken in by their dotted name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foundation.settings import Part


def adopt(built: Any, part: Part) -> Any:
    """What `foundation.components` calls with a class of the ecosystem: see `retrieval.text.splitters`."""
    from retrieval.text.splitters import adopt as take_in

    return take_in(built, part)

"""Chunkers, one file each. LangChain's text splitters can be named by their dotted path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foundation.settings import Part


def adopt(built: Any, part: Part) -> Any:
    """Adopt a class of the ecosystem, for `foundation.components`; see `retrieval.text.splitters`."""
    from retrieval.text.splitters import adopt as take_in

    return take_in(built, part)

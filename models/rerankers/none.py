"""No reranking: the order of retrieval is kept."""

from __future__ import annotations

from foundation.components import Context
from foundation.settings import Section


class Options(Section):
    pass


def build(options: Options, context: Context) -> None:
    """Build nothing: `models.build.open_reranker` does not ask."""

"""No reranking: the order of retrieval is kept."""

from foundation.components import Context
from foundation.settings import Section as Options  # it takes none


def build(options: Options, context: Context) -> None:
    """Build nothing: `models.build.open_reranker` does not ask."""

"""The section [answer_cache]: which questions get an answer again, and for how long."""

from typing import Literal

from pydantic import Field

from foundation.settings import Section


class AnswerCacheSettings(Section):
    """The cache of cited answers. Cached answers are marked and need no model."""

    mode: Literal["exact", "semantic"] = "exact"
    """`exact`: the same question but for case, spaces and the final mark. `semantic`: also a question with a near
    vector and the same significant words: every entity, number, qualifier and negation."""
    ttl_s: float = Field(default=3600, gt=0)
    min_similarity: float = Field(default=0.9, gt=0, le=1)
    """Minimum cosine of two questions that may mean the same. It depends on the embedder: see `make bench-cache`."""

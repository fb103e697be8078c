"""No reranking: the order of retrieval stands."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from foundation.components import Context
from models.contract import Reranker


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KeepsOrder:
    """Scores by position only, 1, 1/2, 1/3 ..., so that sorting by score changes nothing."""

    model_name = "none"

    def score(self, query: str, texts: Sequence[str]) -> list[float]:  # noqa: ARG002  # the port has a query
        return [1 / (1 + position) for position in range(len(texts))]


def build(options: Options, context: Context) -> Reranker:  # noqa: ARG001  # every adapter has this signature
    return KeepsOrder()

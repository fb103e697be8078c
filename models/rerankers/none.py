"""No reranking: the order of retrieval stands."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from foundation.components import Context
from models.contract import Reranker
from models.scoring.reranking import KeepsOrder


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def build(options: Options, context: Context) -> Reranker:  # noqa: ARG001  # every adapter has this signature
    return KeepsOrder()

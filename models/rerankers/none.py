"""No reranking: the order of retrieval is kept."""

from __future__ import annotations

from foundation.components import Context
from foundation.settings import Section
from models.contract import Reranker
from models.scoring.checked import KeepsOrder


class Options(Section):
    pass


def build(options: Options, context: Context) -> Reranker:  # noqa: ARG001  # every adapter has this signature
    return KeepsOrder()

"""The ports of layer 2 on one screen.

Chat models and embedders are LangChain's own contracts, so any of its integrations can be named. Prices, rerankers and judges of
entailment have ports of ours, since LangChain has none with these promises (dated prices, unpriced is not zero; scores in input
order; probabilities); its document compressors are accepted as rerankers (`models.scoring.checked`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from langchain_core.embeddings import Embeddings

from foundation.components import Context
from foundation.types import Usage

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

__all__ = [
    "BaseChatModel", "Call", "Embeddings", "EntailmentJudge", "Price", "PriceSource", "Reranker", "ScoringParts",
]  # fmt: skip


def __getattr__(name: str) -> type:
    # Imported only when it is used: that takes longer than all else that a search needs of this package
    if name != "BaseChatModel":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from langchain_core.language_models import BaseChatModel

    return BaseChatModel


@runtime_checkable
class Reranker(Protocol):
    """Scores texts against a query; it neither drops nor reorders them."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return a score per text, in input order, higher is better; no texts, no scores. Raises ComponentError: its model failed."""


@runtime_checkable
class EntailmentJudge(Protocol):
    """Estimates the probability that a text supports a sentence (natural language inference)."""

    def support(self, pairs: Sequence[tuple[str, str]]) -> Sequence[float]:
        """Return a probability per (premise, hypothesis), in input order; 0: a side has no words. Raises ComponentError."""


@dataclass(frozen=True, kw_only=True)
class ScoringParts(Context):
    """The parts that the adapter of a reranker or a judge gets: `build(options, context: ScoringParts)`."""

    embedder: Embeddings
    chat: BaseChatModel | None = None
    """For judges alone; `None` where documents are searched without a chat model."""


@dataclass(frozen=True, slots=True)
class Call:
    """The data of a finished model call that its price depends on. Where it ran on this machine (`local`), its time is the price."""

    provider: str
    model: str
    usage: Usage
    seconds: float
    local: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a call. `usd` is `None` where it is unknown, which is reported and never taken for zero."""

    usd: Decimal | None
    basis: str
    """Source of the price: `genai-prices 0.2.3`, `local compute 0.10 USD/h`, `No price is set for your-model`."""


@runtime_checkable
class PriceSource(Protocol):
    """Dated prices by provider, model and kind of token."""

    def price(self, call: Call) -> Price:
        """Return the price of `call` at its time; that of an unknown model has `usd=None`."""


# Where an adapter adds each request whose tokens its server counts, and a chat model those that came to nothing; `None`: nobody pays
requests_made: ContextVar[list[Call] | None] = ContextVar("requests", default=None)

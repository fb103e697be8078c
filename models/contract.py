"""The ports of layer 2 on one screen.

Chat models and embedders are LangChain's own contracts, so any integration of theirs plugs in by naming it. Prices,
rerankers and judges of entailment have no contract there that keeps our promises (dated, unpriced is not zero; scores in
input order; probabilities), so theirs are ours; a LangChain document compressor is taken for a reranker all the same (`models.scoring.checked`).
"""

from __future__ import annotations

from collections.abc import Sequence
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
    "BaseChatModel", "Call", "Embeddings", "EntailmentJudge", "EntailmentParts", "Price", "PriceSource", "Reranker",
    "RerankerParts",
]  # fmt: skip


def __getattr__(name: str) -> type:
    """`BaseChatModel` is imported by whoever uses one: it takes longer than all else that a search needs of this package."""
    if name != "BaseChatModel":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from langchain_core.language_models import BaseChatModel

    return BaseChatModel


@runtime_checkable
class Reranker(Protocol):
    """Scores texts against a query; it neither drops nor reorders them."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """One score a text, in input order; higher is better. An empty input gives an empty list.

        Raises:
            ComponentError: the model behind it failed.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class RerankerParts(Context):
    """What a reranker adapter is built from: `build(options, context: RerankerParts) -> Reranker`."""

    embedder: Embeddings


@runtime_checkable
class EntailmentJudge(Protocol):
    """Says how sure it is that a text supports a sentence: natural language inference."""

    def support(self, pairs: Sequence[tuple[str, str]]) -> Sequence[float]:
        """One probability from 0 to 1 a pair of premise and hypothesis, in input order; no pairs give an empty list.

        A premise may be several sentences. Where one side of a pair has no word, the probability is 0.

        Raises:
            ComponentError: the model behind it failed, or what it said cannot be read.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class EntailmentParts(Context):
    """What a judge's adapter is built from: `build(options, context: EntailmentParts) -> EntailmentJudge`."""

    embedder: Embeddings
    chat: BaseChatModel | None = None
    """`None` where documents are searched without a chat model."""


@dataclass(frozen=True, slots=True)
class Call:
    """One finished model call, as far as its price depends on it."""

    provider: str
    model: str
    usage: Usage
    seconds: float
    local: bool
    """Whether it ran on our own machine, whose time is then its price."""
    at: datetime


@dataclass(frozen=True, slots=True)
class Price:
    """What a call cost. `usd is None` means unpriced: shown and counted, never taken for zero."""

    usd: Decimal | None
    basis: str
    """Where the figure comes from: `genai-prices 0.2.3`, `local compute 0.10 USD/h`, `no price known`."""


@runtime_checkable
class PriceSource(Protocol):
    """Dated prices by provider, model and kind of token."""

    def price(self, call: Call) -> Price:
        """The price of `call` at the time it was made. An unknown model is unpriced; it never raises for one."""
        ...

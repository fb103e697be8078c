"""Open single parts and stores for commands that need no others. None of them loads a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from foundation.components import Assembly, load_removable
from foundation.settings import make_data_dir
from serving.settings import Settings, context_of

if TYPE_CHECKING:
    from observability.stores.costs import CostLedger
    from observability.stores.spans import SpanStore
    from retrieval.contract import DocumentLedger, VectorIndex


@contextmanager
def open_parts(settings: Settings) -> Iterator[Assembly]:
    """Yield a builder of single parts, which are closed at the end."""
    with ExitStack() as opened:
        yield Assembly(context_of(settings), opened)


def build_ledger(settings: Settings, parts: Assembly) -> DocumentLedger:
    from retrieval.contract import DocumentLedger

    ledger: DocumentLedger = parts.part("retrieval.ledger", settings.retrieval.ledger, DocumentLedger)
    return ledger


@contextmanager
def open_ledger(settings: Settings) -> Iterator[DocumentLedger]:
    with open_parts(settings) as parts:
        yield build_ledger(settings, parts)


def build_index(settings: Settings, parts: Assembly) -> VectorIndex:
    """Build the vector index. Raises StoreInUse: a server owns it."""
    from retrieval.contract import VectorIndex

    index: VectorIndex = parts.part("retrieval.vectors", settings.retrieval.vectors, VectorIndex)
    return index


@contextmanager
def open_checkpoints(settings: Settings) -> Iterator[Any]:
    with open_parts(settings) as parts:
        yield parts.part("orchestration.checkpoints", settings.orchestration.checkpoints)


def open_spans(settings: Settings) -> SpanStore:
    from observability.stores.spans import SpanStore

    return SpanStore(settings.foundation.data_dir / "spans.sqlite")


@contextmanager
def open_costs(settings: Settings) -> Iterator[CostLedger]:
    from observability.stores.costs import CostLedger

    with closing(CostLedger(make_data_dir(settings.foundation.data_dir) / "costs.sqlite")) as costs:
        yield costs


@contextmanager
def open_outcomes(settings: Settings) -> Iterator[Any]:
    store = load_removable("observability.stores.outcomes").OutcomeStore
    with closing(store(make_data_dir(settings.foundation.data_dir) / "outcomes.sqlite")) as outcomes:
        yield outcomes

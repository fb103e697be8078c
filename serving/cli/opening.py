"""Opens single parts and stores of the system for commands that need no other. None of them loads a model."""

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


class Stores:
    """The ledger, and the vector index for those who need it: while a server runs it belongs to that."""

    def __init__(self, settings: Settings, parts: Assembly) -> None:
        from retrieval.contract import DocumentLedger

        self._settings, self._parts = settings, parts
        self.ledger: DocumentLedger = parts.part("retrieval.ledger", settings.retrieval.ledger, DocumentLedger)

    def vectors(self) -> VectorIndex:
        """Raises:
        StoreInUse: a server owns it.
        """
        from retrieval.contract import VectorIndex

        vectors: VectorIndex = self._parts.part("retrieval.vectors", self._settings.retrieval.vectors, VectorIndex)
        return vectors


@contextmanager
def open_parts(settings: Settings) -> Iterator[Assembly]:
    """What builds single parts and closes them in the end."""
    with ExitStack() as opened:
        yield Assembly(context_of(settings), opened)


@contextmanager
def open_stores(settings: Settings) -> Iterator[Stores]:
    with open_parts(settings) as parts:
        yield Stores(settings, parts)


@contextmanager
def open_checkpoints(settings: Settings) -> Iterator[Any]:
    """Where conversations are kept."""
    with open_parts(settings) as parts:
        yield parts.part("orchestration.checkpoints", settings.orchestration.checkpoints)


def open_spans(settings: Settings) -> SpanStore:
    """Traces. It opens its file when it is asked."""
    from observability.stores.spans import SpanStore

    return SpanStore(settings.foundation.data_dir / "spans.sqlite")


@contextmanager
def open_costs(settings: Settings) -> Iterator[CostLedger]:
    """What was spent."""
    from observability.stores.costs import CostLedger

    with closing(CostLedger(make_data_dir(settings.foundation.data_dir) / "costs.sqlite")) as costs:
        yield costs


@contextmanager
def open_outcomes(settings: Settings) -> Iterator[Any]:
    """What became of answers."""
    store = load_removable("observability.stores.outcomes").OutcomeStore
    with closing(store(make_data_dir(settings.foundation.data_dir) / "outcomes.sqlite")) as outcomes:
        yield outcomes

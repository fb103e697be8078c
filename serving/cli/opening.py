"""Opens one part of the system for a command that needs no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foundation.components import Context
    from retrieval.contract import DocumentLedger
    from serving.settings import Settings


@contextmanager
def open_ledger(settings: Settings) -> Iterator[DocumentLedger]:
    """The document ledger alone: no model is loaded for a list."""
    from foundation import components
    from retrieval.contract import DocumentLedger

    ledger: DocumentLedger = components.load(
        "retrieval.ledger", settings.retrieval.ledger, context_of(settings), expected=DocumentLedger
    )
    try:
        yield ledger
    finally:
        ledger.close()


def context_of(settings: Settings) -> Context:
    from foundation.components import Context
    from foundation.settings import make_data_dir

    return Context(
        data_dir=make_data_dir(settings.foundation.data_dir),
        seed=settings.foundation.seed,
        threads=settings.foundation.threads,
    )

"""A vector index with exact search in memory, saved in one file when it is closed; needs no installation.

For up to some ten thousand passages a tenant. After a kill it is filled from the ledger.
"""

from __future__ import annotations

from pathlib import Path

from foundation.components import Context
from foundation.settings import Section
from foundation.stores.registry import Store
from retrieval.documents import DOCUMENTS_STAY
from retrieval.index.exact_search import SavedIndex


class Options(Section):
    folder: Path = Path("index")
    """The folder, relative to the data folder."""


def build(options: Options, context: Context) -> SavedIndex:
    return SavedIndex(context.data_dir / options.folder)


def stores(options: Options) -> tuple[Store, ...]:
    return (Store(name="vectors", files=(f"{options.folder}/*",), stays=DOCUMENTS_STAY),)

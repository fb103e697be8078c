"""The default: every vector is compared, in memory; 20,000 and more are saved in files, which a start maps into memory."""

from pathlib import Path

from foundation.components import Context
from foundation.settings import Section
from foundation.stores.registry import Store
from retrieval.documents import DOCUMENTS_STAY
from retrieval.index.exact_search import ExactIndex
from retrieval.index.saved_rows import RowFiles


class Options(Section):
    folder: Path = Path("index")
    """The folder, relative to the data folder."""


def build(options: Options, context: Context) -> ExactIndex:
    folder = context.data_dir / options.folder
    return ExactIndex(f"The vector index {folder}", RowFiles(folder))


def describe_search(options: Options, passages: int) -> str:  # noqa: ARG001 - the signature of every adapter
    return "exact at every size"


def stores(options: Options) -> tuple[Store, ...]:
    files = (f"{options.folder}/*", f"{options.folder}-*", f"{options.folder}.*")
    return (Store(name="vectors", files=files, stays=DOCUMENTS_STAY),)

"""The index that compares every vector, without files: it is filled from the ledger at each start, and several processes may have one."""

from foundation.components import Context
from foundation.settings import Section as Options  # it takes none
from foundation.stores.registry import Store
from retrieval.documents import DOCUMENTS_STAY
from retrieval.index.exact_search import ExactIndex


def build(options: Options, context: Context) -> ExactIndex:  # noqa: ARG001 - the signature of every adapter
    return ExactIndex()


def describe_search(options: Options, passages: int) -> str:  # noqa: ARG001 - the signature of every adapter
    return "exact at every size"


def stores(options: Options) -> tuple[Store, ...]:  # noqa: ARG001 - the signature of every adapter
    return (Store(name="vectors", stays=DOCUMENTS_STAY),)

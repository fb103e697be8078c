"""Checkpoints in memory, which end with the process; for tests, and for runs that need not resume."""

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from foundation.components import Context
from foundation.settings import Section as Options  # it takes none
from foundation.stores.registry import Store


def build(options: Options, context: Context) -> InMemorySaver:  # noqa: ARG001 - the signature of every adapter
    return InMemorySaver(serde=JsonPlusSerializer(allowed_msgpack_modules=None))


def stores(options: Options) -> tuple[Store, ...]:  # noqa: ARG001 - the signature of every adapter
    return (Store(name="conversations", stays="only in the memory of the running server, until it ends"),)

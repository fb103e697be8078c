"""Open what a command needs: the system, here or as a running server; or single parts and stores, without a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from foundation.components import Assembly
from foundation.errors import StoreInUse
from serving.cli.address import Address, find_address
from serving.settings import Loaded, Settings, context_of

if TYPE_CHECKING:
    from observability.stores.costs import CostLedger
    from observability.stores.spans import SpanStore
    from orchestration.effects.records import Recorders
    from retrieval.contract import DocumentLedger
    from serving.access.identity import KeyStore
    from serving.hooks import Hooks
    from serving.wiring import System


class RunningServer(ABC):
    """What lets commands ask the server that runs on their data folder, where an extension offers it as a service."""

    @abstractmethod
    def ask(self, loaded: Loaded, address: Address, roles: Iterable[str] | None) -> AbstractContextManager[System]:
        """Return the parts that the server has to offer, searching with `roles`, by default all.
        Raises StoreInUse: it answers by other settings.
        """


def find_server(settings: Settings) -> Address | None:
    """Return the address of the server that runs on these settings' data folder, or `None`."""
    return find_address(settings.foundation.data_dir)


@contextmanager
def open_or_ask(loaded: Loaded, roles: Iterable[str] | None = None) -> Iterator[System]:
    """Open every part, or beside a running server those that its API has, searching with `roles` (by default all).
    Raises as `open_system`; beside a server, StoreInUse: it answers by other settings, or a part that only its own process can use.
    """
    from serving.wiring import open_system

    address = find_server(loaded.settings)
    if address is None:
        with open_system(loaded) as system:
            yield system
    else:
        with _find_asking(loaded.settings, address).ask(loaded, address, roles) as system:
            yield system


def _find_asking(settings: Settings, address: Address) -> RunningServer:
    """Raises StoreInUse: no extension that is on asks a server."""
    with open_hooks(settings) as hooks:
        for service in hooks.services:
            if isinstance(service, RunningServer):
                return service
    raise StoreInUse(
        f"The server on port {address.port} holds what this command needs. Stop the server, run the command and start it again, or "
        "use the server's API. With the extension served, commands ask the running server: make add NAME=served"
    )


@contextmanager
def open_parts(settings: Settings) -> Iterator[Assembly]:
    """Yield a builder of single parts, which are closed at the end."""
    with ExitStack() as opened:
        yield Assembly(context_of(settings), opened)


@contextmanager
def open_hooks(settings: Settings) -> Iterator[Hooks]:
    """Yield the hooks of the extensions that are on, without a system. Raises as `plug_in`."""
    from serving.hooks import plug_in

    with open_parts(settings) as parts:
        yield plug_in(settings, parts)


def callers_of(settings: Settings) -> KeyStore:
    """Return what authenticates callers, without a system. Raises as `plug_in`."""
    from serving.access.identity import KeyStore

    with open_hooks(settings) as hooks:
        return KeyStore.of(settings, hooks.context.clock, hooks.services)


@contextmanager
def open_recorders(settings: Settings) -> Iterator[Recorders]:
    """Yield what records an act of the person at the terminal."""
    from orchestration.effects.records import Recorders

    with open_hooks(settings) as hooks:
        yield Recorders(hooks.recorders)


def build_ledger(settings: Settings, parts: Assembly) -> DocumentLedger:
    from retrieval.contract import DocumentLedger

    ledger: DocumentLedger = parts.part("retrieval.ledger", settings.retrieval.ledger, DocumentLedger)
    return ledger


def open_spans(settings: Settings) -> SpanStore:
    from observability.stores.spans import SpanStore

    return SpanStore(settings.foundation.data_dir / "spans.sqlite")


@contextmanager
def open_checkpoints(settings: Settings) -> Iterator[Any]:
    with open_parts(settings) as parts:
        yield parts.part("orchestration.checkpoints", settings.orchestration.checkpoints)


@contextmanager
def open_costs(settings: Settings) -> Iterator[CostLedger]:
    from observability.stores.costs import CostLedger

    context = context_of(settings)
    with closing(CostLedger(context.data_dir / "costs.sqlite", context.records)) as costs:
        yield costs

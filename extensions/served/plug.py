"""Where it plugs in: commands find what asks a server that runs on their data folder."""

from collections.abc import Iterable
from contextlib import AbstractContextManager

from extensions.served.asking import ask_server
from serving.cli.address import Address
from serving.cli.opening import RunningServer
from serving.hooks import Hooks
from serving.settings import Loaded
from serving.wiring import System


def plug(hooks: Hooks) -> None:
    hooks.services.append(OverItsApi())


class OverItsApi(RunningServer):
    """Asks over loopback, with a key that is made for the call."""

    def ask(self, loaded: Loaded, address: Address, roles: Iterable[str] | None) -> AbstractContextManager[System]:
        return ask_server(loaded, address, roles)

"""`sixply serve`: serve the API over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from foundation.extensions import resolve, turn_on
from serving.cli import terminal
from serving.cli.address import Address, announce_address
from serving.cli.opening import callers_of
from serving.cli.options import LOCAL, STACK, Stack, load_stack, local
from serving.settings import Loaded

if TYPE_CHECKING:
    from foundation.types import Principal
    from serving.access.identity import KeyStore
    from serving.hooks import Started


def serve(stack: Stack = STACK) -> None:
    """Run the API server."""
    serve_api(load_stack(stack))


def serve_api(loaded: Loaded) -> None:
    """Check for callers and take the port first: both fail at once, while models take seconds to load."""
    from observability.telemetry import logs

    settings = loaded.settings
    logs.set_up(settings.foundation.logging)
    out = terminal.console()

    def announce(url: str) -> None:
        name = terminal.line(settings.serving.brand.name)
        out.print(f"{name} answers at {url}. Stop it with Ctrl-C.")

    if not _serve_otherwise(loaded, announce):
        _serve_here(loaded, announce)
    out.print("Stopped.")


def _serve_otherwise(loaded: Loaded, announce: Callable[[str], None]) -> bool:
    """Serve as an extension does, the last that is turned on first; return whether one did."""
    serving = [extension.serve for extension in turn_on(loaded.settings.extensions).values() if extension.serve]
    return any(resolve(each)(loaded, announce) for each in reversed(serving))


def _serve_here(loaded: Loaded, announce: Callable[[str], None]) -> None:
    """Serve in this process."""
    from serving.access.machine_key import is_wanted, machine_key
    from serving.hooks import Started
    from serving.http.listening import base_url, bind
    from serving.server import serve
    from serving.wiring import open_system

    settings, http = loaded.settings, loaded.settings.serving.http
    callers, owner = callers_of(settings), local(LOCAL, ["agent"], None)
    if not (own_key := is_wanted(callers, http, owner)):
        callers.demand_any()
    with (
        bind(http) as listening,
        open_system(loaded) as system,
        _told_to_commands(loaded, listening.getsockname()[1]),
        machine_key(callers, owner) if own_key else nullcontext() as key,
    ):
        announce(url := base_url(http, listening))
        asyncio.run(_greet(Started(system=system, callers=callers, url=url, own_key=key or "")))
        if key:
            _tell_of_key(callers, owner)
        serve(system, listening)


def _told_to_commands(loaded: Loaded, port: int) -> AbstractContextManager[None]:
    where = Address(port, str(loaded.path.resolve()), loaded.answers_by())
    return announce_address(loaded.settings.foundation.data_dir, where)


async def _greet(started: Started) -> None:
    for greet in started.system.hooks.greetings:
        terminal.console().print(await greet(started), soft_wrap=True)


def _tell_of_key(callers: KeyStore, owner: Principal) -> None:
    """Say in which file programs find the key of this machine."""
    from serving.access.identity import CREATE_ONE
    from serving.access.machine_key import FILE

    out, file = terminal.console(), callers.path.with_name(FILE)
    out.print(
        f"Programs send the key in {terminal.plain(file)}, which ends with the server: {terminal.plain(owner.subject)}, tenant "
        f"{owner.tenant}, role {', '.join(owner.roles)}.\nOnce somebody has a key, this machine gets none. {CREATE_ONE}",
        soft_wrap=True,
    )

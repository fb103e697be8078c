"""`sixply serve`: serve the API over HTTP."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from foundation.clock import SystemClock
from foundation.components import is_there, load_if_there, load_removable
from serving.cli import terminal
from serving.cli.address import Address, announce_address
from serving.cli.options import LOCAL, STACK, Stack, load_stack, local
from serving.settings import Loaded

if TYPE_CHECKING:
    from foundation.types import Principal
    from serving.access.identity import KeyStore
    from serving.wiring import System


def serve(stack: Stack = STACK) -> None:
    """Serve the API until stopped."""
    serve_api(load_stack(stack))


def serve_api(loaded: Loaded) -> None:
    """Check for callers and take the port first: both fail at once, while models take seconds to load."""
    from observability.telemetry import logs
    from serving.access.identity import open_callers
    from serving.access.machine_key import is_wanted, machine_key
    from serving.server import base_url, bind, serve
    from serving.wiring import open_system

    settings = loaded.settings
    logs.set_up(settings.foundation.logging)
    http, out = settings.serving.http, terminal.console()

    def announce(url: str) -> None:
        name = terminal.line(settings.serving.brand.name)
        page = " (open it in a browser)" if is_there("serving.page") else ""
        clients = f", OpenAI's clients at {url}/v1" if is_there("serving.compat") else ""
        out.print(f"{name} answers at {url}{page}{clients}. Stop it with Ctrl-C.")

    callers, owner = open_callers(settings, SystemClock()), local(LOCAL, ["agent"], None)
    on_ray = settings.foundation.cluster.use == "ray"
    own_key = not on_ray and settings.serving.workers == 1 and is_wanted(callers, http, owner)
    if not own_key:
        callers.demand_any()
    if on_ray:
        load_removable("serving.processes.ray_replicas").serve(loaded, announce)
    elif settings.serving.workers > 1:
        supervise = load_removable("serving.processes.supervisor", asking="[serving] workers").supervise
        with bind(http) as listening:
            supervise(loaded, listening, lambda: announce(base_url(http, listening)))
    else:
        with (
            bind(http) as listening,
            open_system(loaded) as system,
            _told_to_commands(loaded, listening.getsockname()[1]),
            machine_key(callers, owner) if own_key else nullcontext() as key,
        ):
            announce(url := base_url(http, listening))
            if key:
                _invite(system, callers, owner, key, url)
            serve(system, listening)
    out.print("Stopped.")


def _told_to_commands(loaded: Loaded, port: int) -> AbstractContextManager[None]:
    where = Address(port, str(loaded.path.resolve()), loaded.answers_by())
    return announce_address(loaded.settings.foundation.data_dir, where)


def _invite(system: System, callers: KeyStore, owner: Principal, key: str, url: str) -> None:
    """Say how to get in with the key of this machine: the page by a link that works once, programs by the file that has the key."""
    from serving.access.identity import CREATE_ONE
    from serving.access.machine_key import FILE
    from serving.build import SESSIONS

    out, file = terminal.console(), callers.path.with_name(FILE)
    if (sessions := load_if_there(SESSIONS)) and is_there("serving.page"):
        code = asyncio.run(sessions.Sessions(callers, system.cache).offer(key))
        out.print(f"To sign in, once and within an hour: {url}/sign-in?code={code}", soft_wrap=True)
    out.print(
        f"Programs send the key in {terminal.plain(file)}, which ends with the server: {terminal.plain(owner.subject)}, tenant "
        f"{owner.tenant}, role {', '.join(owner.roles)}.\nOnce somebody has a key, this machine gets none. {CREATE_ONE}",
        soft_wrap=True,
    )

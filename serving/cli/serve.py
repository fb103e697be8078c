"""`sixply serve`: serve the API over HTTP."""

from contextlib import nullcontext

from foundation.clock import SystemClock
from foundation.components import is_there, load_if_there, load_removable
from serving.cli import terminal
from serving.cli.options import STACK, Stack, load_stack
from serving.settings import Loaded


def serve(stack: Stack = STACK) -> None:
    """Serve the API until stopped."""
    serve_api(load_stack(stack))


def serve_api(loaded: Loaded) -> None:
    """Check for callers and take the port first: both fail at once, while models take seconds to load."""
    from observability.telemetry import logs
    from serving.access.identity import open_callers
    from serving.cli.opening import ADDRESS
    from serving.server import base_url, bind, serve
    from serving.wiring import open_system

    logs.set_up(loaded.settings.foundation.logging)
    http, out = loaded.settings.serving.http, terminal.console()

    def announce(url: str) -> None:
        name = terminal.line(loaded.settings.serving.brand.name)
        page = " (open it in a browser)" if is_there("serving.page") else ""
        clients = f", OpenAI's clients at {url}/v1" if is_there("serving.compat") else ""
        out.print(f"{name} answers at {url}{page}{clients}. Stop it with Ctrl-C.")

    open_callers(loaded.settings, SystemClock()).demand_any()
    if loaded.settings.foundation.cluster.use == "ray":
        load_removable("serving.processes.ray_replicas").serve(loaded, announce)
    elif loaded.settings.serving.workers > 1:
        supervise = load_removable("serving.processes.supervisor", asking="[serving] workers").supervise
        with bind(http) as listening:
            supervise(loaded, listening, lambda: announce(base_url(http, listening)))
    else:
        address = load_if_there(ADDRESS)
        with (
            bind(http) as listening,
            open_system(loaded) as system,
            address.announce_address(
                system.context.data_dir,
                address.Address(listening.getsockname()[1], str(loaded.path.resolve()), loaded.answers_by()),
            )
            if address
            else nullcontext(),
        ):
            announce(base_url(http, listening))
            serve(system, listening)
    out.print("Stopped.")

"""Where kill switches plug in: as a guard, around the agent, and with their routes."""

from extensions.kill_switches.stopping import StoppableAgent, open_stops, tend_records
from serving.hooks import Around, Hooks, Panel, Place
from serving.http.errors import Surface


def plug(hooks: Hooks) -> None:
    stops = open_stops(hooks.context)
    hooks.services.append(stops)
    hooks.guards.append(stops.demand)
    hooks.agents[Around.STOP] = lambda inner: StoppableAgent(inner, stops)
    hooks.routers.append("extensions.kill_switches.routes:router")
    # the system must be stopped even when quotas are used up
    hooks.surfaces.append(Surface(paths=("/v1/stops",), counted=False))
    hooks.lifespans.append(lambda runtime: tend_records(stops, runtime.system.orchestration.recorders))
    hooks.panels.append(
        Panel(
            place=Place.SYSTEM,
            name="stops",
            read=lambda _: [{str(stop): stop.reason for stop in stops.list()} or {"nothing": "is stopped"}],
        )
    )

"""The API as replicas of a Ray Serve deployment: the same app and wiring."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from extensions.ray.ingest import connect, demand_ray
from extensions.ray.settings import RaySettings
from extensions.workers.supervisor import await_stop_signal, demand_shared
from foundation.errors import ComponentError, InvalidSetting
from serving.cli.opening import callers_of
from serving.settings import Loaded
from serving.wiring import System, open_system

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = "x-request-id"
NAME = "sixply"
# beyond the longest answer, for its last bytes and for closing the stores
MARGIN_S = 5.0
# our own admission sheds load, with an error that says when to come back, and lets health checks pass
PLACES = 1_000


@contextmanager
def deploy_replicas(loaded: Loaded, *, opener: Callable[[Loaded], Any] = open_system) -> Iterator[str]:
    """Run replicas while the context is open; yield the base URL.

    `opener` opens each replica's system, as a context manager. Raises InvalidSetting: several replicas over a store
    that one process holds, or no port. MissingDependency, StoreUnavailable: as `connect`.
    ComponentError: the replicas did not start.
    """
    demand_ray()
    settings, cluster = loaded.settings, loaded.settings.section(RaySettings)
    http = settings.serving.http
    demand_shared(settings, cluster.replicas, key="[ray] replicas")
    if not http.port:
        raise InvalidSetting(
            "[serving.http] port = 0 takes any free one, and on a cluster nobody knows which. Name one."
        )
    ours = connect(cluster)
    import ray
    from ray import serve

    try:
        try:
            serve.start(http_options={"host": http.host, "port": http.port})
            serve.run(application(loaded, opener), name=NAME)
        except RuntimeError as error:
            raise ComponentError(
                f"Ray Serve could not start the replicas at {http.host} port {http.port}: {error}. Is the port free on every "
                f"machine, and the same version of everything installed there? Ray's logs say more."
            ) from error
        yield f"http://{http.host}:{http.port}"
    finally:
        serve.shutdown()  # type: ignore[no-untyped-call]
        if ours:
            ray.shutdown()


def application(loaded: Loaded, opener: Callable[[Loaded], Any] = open_system) -> Any:
    """Return the deployment for `ray.serve.run`. Run again with other `replicas`, it grows or shrinks."""
    from ray import serve

    settings, cluster = loaded.settings, loaded.settings.section(RaySettings)
    deployment: Any = serve.deployment(
        serve.ingress()(Replica),
        name=NAME,
        num_replicas=cluster.replicas,
        max_ongoing_requests=PLACES,
        ray_actor_options={"num_cpus": cluster.cpus},
        graceful_shutdown_timeout_s=settings.orchestration.budget.seconds + MARGIN_S,
        graceful_shutdown_wait_loop_s=0.5,
    )
    return deployment.bind(loaded, opener)


class Replica:
    """One replica process. Serve calls the two methods with these names."""

    def __init__(self, loaded: Loaded, opener: Callable[[Loaded], Any]) -> None:
        self._open = ExitStack()
        self._system: System = self._open.enter_context(opener(loaded))

    def __serve_build_asgi_app__(self) -> Any:
        from serving.app import create_app

        return OneRequestId(create_app(self._system))

    def __del__(self) -> None:
        self._open.close()


class OneRequestId:
    """Removes our request id from responses: Serve's proxy gives each request the id, and adds it itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = dict(scope.get("headers", ())).get(REQUEST_ID.encode())

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = (REQUEST_ID.encode(), request_id)
                message["headers"] = [header for header in message["headers"] if tuple(header) != own]
            await send(message)

        await self._app(scope, receive, send_named)


def serve(loaded: Loaded, announce: Callable[[str], None]) -> bool:
    """Serve on the cluster until a stop signal."""
    callers_of(loaded.settings).demand_any()
    with deploy_replicas(loaded) as url:
        announce(url)
        await_stop_signal().wait()
    return True

"""Where objects plug in: their route, and in each server what makes them."""

from extensions.objects.objects import Objects
from serving.hooks import Hooks


def plug(hooks: Hooks) -> None:
    hooks.routers.append("extensions.objects.routes:router")
    hooks.server_parts.append(lambda runtime: Objects.of(runtime.system))

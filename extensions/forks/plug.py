"""Where forks plug in: by their route, and by a button under each answer. They keep nothing but conversations."""

from extensions.forks.actions import GO_ON
from serving.hooks import Hooks


def plug(hooks: Hooks) -> None:
    hooks.routers.append("extensions.forks.routes:router")
    hooks.services.append(GO_ON)

"""Where forks plug in: by their route. They keep nothing but conversations."""

from serving.hooks import Hooks


def plug(hooks: Hooks) -> None:
    hooks.routers.append("extensions.forks.routes:router")

"""The route that tells where cited words stand on their page."""

from serving.hooks import Hooks


def plug(hooks: Hooks) -> None:
    hooks.routers.append("extensions.ocr.routes:router")

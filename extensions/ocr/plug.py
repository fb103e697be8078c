"""The route that tells where cited words stand on their page."""

from extensions.ocr import routes
from serving.hooks import Hooks


def plug(hooks: Hooks) -> None:
    hooks.routers.append(routes.router)

"""Where the cascade plugs in: its agent finds the cheaper models among the services, so that they are opened once."""

from extensions.cascade.cascade import CheaperModels
from serving.hooks import Hooks


def plug(hooks: Hooks) -> None:
    hooks.services.append(CheaperModels(hooks.keep))

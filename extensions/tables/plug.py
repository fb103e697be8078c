"""Where it plugs in: as what an agent without tools asks, among the services."""

from extensions.tables.questions.answers import TableAnswers
from serving.hooks import Hooks


def plug(hooks: Hooks) -> None:
    hooks.services.append(TableAnswers())

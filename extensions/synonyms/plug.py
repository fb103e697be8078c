"""Where they plug in: as words that retrieval finds among the services."""

from extensions.synonyms.settings import SynonymsSettings
from extensions.synonyms.words import HouseWords, read_groups
from serving.hooks import Hooks


def plug(hooks: Hooks) -> None:
    settings = hooks.section(SynonymsSettings)
    hooks.services.append(HouseWords(read_groups(settings.place(hooks.context.stack_dir)), periods=settings.periods))

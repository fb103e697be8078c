"""Where Ray plugs in: its workers prepare the documents of an ingest."""

from collections.abc import Callable

from extensions.ray.ingest import RayWorkers
from extensions.ray.settings import RaySettings
from foundation.extensions import find_modules
from models.contract import Call
from retrieval.contract import IngestHelpers
from retrieval.documents import Fingerprint
from serving.hooks import Hooks
from serving.settings import Settings


def plug(hooks: Hooks) -> None:
    hooks.services.append(OnRay(hooks.settings))


class OnRay(IngestHelpers):
    """Opens the workers for an ingest, which connect at the first use."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def open(self, fingerprint: Fingerprint, pay: Callable[[Call], object]) -> RayWorkers:
        settings = self._settings
        return RayWorkers(
            settings.section(RaySettings),
            fingerprint,
            embedder=settings.models.embedder,
            retrieval=settings.retrieval,
            seed=settings.foundation.seed,
            modules=find_modules("retrieval.parsers", settings.extensions),
            pay=pay,
        )

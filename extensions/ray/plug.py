"""Where Ray plugs in: its workers prepare the documents of an ingest."""

from collections.abc import Callable

from extensions.ray.ingest import RayWorkers
from extensions.ray.settings import RaySettings
from models.contract import Call
from retrieval.contract import IngestHelpers
from retrieval.documents import Fingerprint
from retrieval.ingest.parsing import limits_of
from serving.hooks import Hooks
from serving.settings import Settings, context_of


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
            limits=limits_of(context_of(settings)),
            pay=pay,
        )

"""Before a passage is shown: whether the rights of its document are fresh enough, and if not, what its source says now."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from extensions.sources.contract import Connector, Readers
from extensions.sources.settings import Connection
from extensions.sources.state import Known, SourceState
from extensions.sources.sync import groups_of
from foundation.clock import Clock
from foundation.errors import ComponentError
from foundation.types import Scope
from retrieval.contract import RightsCheck
from retrieval.documents import Hit

log = logging.getLogger(__name__)
THREADS = 4


@dataclass
class SourceRights(RightsCheck):
    """Lets through what is of no source, and of a source what it has confirmed lately, or confirms now."""

    connections: Mapping[str, tuple[Connection, Connector]]
    state: SourceState
    clock: Clock
    max_age_s: float | None
    timeout_s: float
    _asking: dict[str, ThreadPoolExecutor] = field(init=False)

    def __post_init__(self) -> None:
        # each its own: one that does not answer holds no thread in which another is asked
        self._asking = {name: ThreadPoolExecutor(THREADS, f"ask-{name}") for name in self.connections}

    def close(self) -> None:
        for threads in self._asking.values():
            threads.shutdown(wait=False, cancel_futures=True)

    def keep(self, hits: Sequence[Hit], scope: Scope) -> list[Hit]:
        found = self.state.of_documents({hit.chunk.document_id for hit in hits})
        if not found:
            return list(hits)
        times = self._confirmed(found, scope)
        return [
            replace(hit, rights_at=times.get(hit.chunk.document_id))
            for hit in hits
            if hit.chunk.document_id not in found or hit.chunk.document_id in times
        ]

    def _confirmed(self, found: Mapping[str, tuple[str, Known]], scope: Scope) -> dict[str, str]:
        """Return the time of the rights of each document that may be read."""
        now = self.clock.now()
        fresh = {key: known.rights_at for key, (_, known) in found.items() if not self._is_old(known, now)}
        stale: defaultdict[str, list[tuple[str, Known]]] = defaultdict(list)
        for document_id, (source, known) in found.items():
            if document_id not in fresh:
                stale[source].append((document_id, known))
        for source, documents in stale.items():
            if source not in self.connections:  # it was taken out of the settings, so nobody can be asked
                continue
            readers = self._ask(source, [known.key for _, known in documents])
            self.state.confirm(source, readers, now)
            connection, _ = self.connections[source]
            for document_id, known in documents:
                groups = groups_of(readers[known.key], connection.groups) if known.key in readers else None
                if groups is not None and scope.admits(connection.tenant, groups):
                    fresh[document_id] = now.isoformat()
        return fresh

    def _is_old(self, known: Known, now: datetime) -> bool:
        if self.max_age_s is None:
            return False
        return now - datetime.fromisoformat(known.rights_at) > timedelta(seconds=self.max_age_s)

    def _ask(self, source: str, keys: Collection[str]) -> Mapping[str, Readers]:
        """Return who may read these now; nothing of a source that does not answer in time."""
        try:
            answered = self._asking[source].submit(self.connections[source][1].readers, keys).result(self.timeout_s)
            return {key: answered[key] for key in keys if key in answered and _are_readers(answered[key])}
        except TooSlow:
            log.warning(
                "%s did not say within %g s who may read %d documents; they are left out",
                source,
                self.timeout_s,
                len(keys),
            )
        except ComponentError as error:
            log.warning("%s cannot say who may read %d documents; they are left out: %s", source, len(keys), error)
        except Exception:  # a connector is foreign code, and what it reads as well
            log.exception("%s failed when asked who may read %d documents; they are left out", source, len(keys))
        return {}


def _are_readers(answered: object) -> bool:
    """Whether a source, which is foreign code, names readers or everybody; what is neither confirms nothing."""
    if answered is None:
        return True
    return isinstance(answered, AbstractSet) and all(isinstance(reader, str) for reader in answered)

"""Vector indexes with one fault each, and the promise that must catch it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from foundation.errors import SixplyError
from foundation.types import EVERY_TENANT, Scope
from retrieval.documents import VectorItem, Vectors
from retrieval.filters import AllOf, AnyOf, OneOf, Where, matches


class Healthy:
    """The double from which the others are broken; it keeps every promise, slowly."""

    caught_by: str | None = None

    def __init__(self) -> None:
        self.items: dict[str, VectorItem] = {}
        self.done, self.token = 0, ""

    def upsert(self, items: Iterable[VectorItem]) -> None:
        for item in items:
            self.items = self.items | {item.chunk_id: item} if len(self.items) < 500 else self._added(item)

    def _added(self, item: VectorItem) -> dict[str, VectorItem]:
        self.items[item.chunk_id] = item
        return self.items

    def delete(self, chunk_ids: Iterable[str]) -> None:
        for chunk_id in chunk_ids:
            self.items.pop(chunk_id, None)

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        items = [item for item in tuple(self.items.values()) if self.admits(scope, item) and self.fits(where, item)]
        scored = [(item.chunk_id, float(item.vector @ vector)) for item in items]
        return sorted(scored, key=lambda pair: -pair[1])[:limit]

    def admits(self, scope: Scope, item: VectorItem) -> bool:
        return scope.admits(item.tenant, item.groups)

    def fits(self, where: Where | None, item: VectorItem) -> bool:
        return where is None or matches(where, item.attributes)

    def sequence(self) -> int:
        return self.done

    def version_token(self) -> str:
        return self.token

    def set_sequence(self, sequence: int, version_token: str = "") -> None:
        self.done, self.token = sequence, version_token

    def count(self) -> int:
        return len(self.items)

    def clear(self) -> None:
        self.items, self.done, self.token = {}, 0, ""

    def close(self) -> None:
        pass


class KeepsOnlyAsciiIds(Healthy):
    caught_by = "keeps_every_id"

    def upsert(self, items: Iterable[VectorItem]) -> None:
        super().upsert(item for item in items if item.chunk_id.isascii())


class GivesDistances(Healthy):
    caught_by = "gives_the_nearest_first_with_its_cosine"

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        return [(chunk_id, 1 - score) for chunk_id, score in super().search(vector, scope, limit=limit, where=where)]


class FarthestFirst(Healthy):
    caught_by = "gives_the_nearest_first_with_its_cosine"

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        return super().search(vector, scope, limit=limit, where=where)[::-1]


class IgnoresTheLimit(Healthy):
    caught_by = "gives_no_more_than_asked_for"

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        return super().search(vector, scope, limit=max(limit, 10), where=where)


class TakesTheFirstBatch(Healthy):
    caught_by = "takes_several_times_what_a_store_takes_in_one_call"

    def upsert(self, items: Iterable[VectorItem]) -> None:
        super().upsert(islice(items, 5_461))


class AddsInsteadOfReplacing(Healthy):
    caught_by = "replaces_the_vector_of_an_id"

    def upsert(self, items: Iterable[VectorItem]) -> None:
        super().upsert(item for item in items if item.chunk_id not in self.items)


class CountsTwice(Healthy):
    caught_by = "upserts_twice_as_well_as_once"

    def __init__(self) -> None:
        super().__init__()
        self.counted = 0

    def upsert(self, items: Iterable[VectorItem]) -> None:
        given = list(items)
        self.counted += len(given)
        super().upsert(given)

    def count(self) -> int:
        return self.counted


class KeepsOldRights(Healthy):
    """A chunk that becomes restricted stays open."""

    caught_by = "replaces_the_access_rights_of_an_id"

    def upsert(self, items: Iterable[VectorItem]) -> None:
        super().upsert(
            replace(item, tenant=old.tenant, groups=old.groups) if (old := self.items.get(item.chunk_id)) else item
            for item in items
        )


class RemembersSearches(Healthy):
    """Answers from before a deletion."""

    caught_by = "finds_nothing_that_was_deleted"

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        hits = super().search(vector, scope, limit=limit, where=where)
        stale = [(chunk_id, 0.0) for chunk_id in sorted(self.seen) if chunk_id not in self.items]
        self.seen |= {chunk_id for chunk_id, _ in hits}
        return [*hits, *stale]


class NeverComesBack(Healthy):
    """A deleted id stays deleted."""

    caught_by = "finds_what_was_deleted_and_added_again"

    def __init__(self) -> None:
        super().__init__()
        self.gone: set[str] = set()

    def delete(self, chunk_ids: Iterable[str]) -> None:
        ids = list(chunk_ids)
        self.gone.update(ids)
        super().delete(ids)

    def upsert(self, items: Iterable[VectorItem]) -> None:
        super().upsert(item for item in items if item.chunk_id not in self.gone)


class ChokesOnUnknownIds(Healthy):
    caught_by = "ignores_unknown_ids_and_deletes_twice"

    def delete(self, chunk_ids: Iterable[str]) -> None:
        for chunk_id in chunk_ids:
            del self.items[chunk_id]


class IgnoresTheTenant(Healthy):
    caught_by = "shows_a_tenant_its_own_and_the_common_ones"

    def admits(self, scope: Scope, item: VectorItem) -> bool:
        return not item.groups or bool(item.groups & scope.groups)


class HidesCommonOnes(Healthy):
    caught_by = "shows_a_tenant_its_own_and_the_common_ones"

    def admits(self, scope: Scope, item: VectorItem) -> bool:
        return scope.admits(item.tenant, item.groups) and item.tenant != EVERY_TENANT


class IgnoresGroups(Healthy):
    caught_by = "shows_restricted_ones_to_their_groups_only"

    def admits(self, scope: Scope, item: VectorItem) -> bool:
        return scope.admits(item.tenant, frozenset())


class DemandsEveryGroup(Healthy):
    caught_by = "shows_restricted_ones_to_their_groups_only"

    def admits(self, scope: Scope, item: VectorItem) -> bool:
        return scope.admits(item.tenant, item.groups) and item.groups <= scope.groups


class EmptyMeansEverything(Healthy):
    caught_by = "shows_an_empty_scope_nothing"

    def admits(self, scope: Scope, item: VectorItem) -> bool:
        return not scope.tenant or scope.admits(item.tenant, item.groups)


class FiltersAfterwards(Healthy):
    """Takes the nearest of everybody and then drops what the scope forbids."""

    caught_by = "fills_the_limit_from_what_the_scope_admits"

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        nearest = sorted(self.items.values(), key=lambda item: -float(item.vector @ vector))[:limit]
        return [(item.chunk_id, float(item.vector @ vector)) for item in nearest if self.admits(scope, item)]


class FoldsNames(Healthy):
    """Takes tenants for the same that differ in case only."""

    caught_by = "tells_strange_names_apart"

    def admits(self, scope: Scope, item: VectorItem) -> bool:
        return Scope(scope.tenant.lower(), scope.groups).admits(item.tenant.lower(), item.groups)


class NormalisesInPlace(Healthy):
    caught_by = "leaves_its_input_alone"

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        vector *= np.float32(2)
        return [(chunk_id, score / 2) for chunk_id, score in super().search(vector, scope, limit=limit, where=where)]


class ClaimsWhatItDoesNotHold(Healthy):
    """Takes the highest number it was given for proof that it holds all lower ones."""

    caught_by = "begins_at_sequence_zero_and_keeps_what_it_is_told"

    def upsert(self, items: Iterable[VectorItem]) -> None:
        given = list(items)
        super().upsert(given)
        self.done = max([self.done, *(item.sequence for item in given)])


class ForgetsVectorsOnly(Healthy):
    caught_by = "forgets_everything_together"

    def clear(self) -> None:
        self.items = {}


class KeepsItsStamp(Healthy):
    """Cleared, it still claims to belong to the old ledger."""

    caught_by = "forgets_everything_together"

    def clear(self) -> None:
        self.items, self.done = {}, 0


class DropsTheStamp(Healthy):
    caught_by = "begins_at_sequence_zero_and_keeps_what_it_is_told"

    def set_sequence(self, sequence: int, version_token: str = "") -> None:
        super().set_sequence(sequence)


class LosesVectorsAtRestart(Healthy):
    """Keeps its sequence in a file and its vectors in memory."""

    caught_by = "_restarted"

    def restart(self) -> None:
        self.items = {}


class SwallowsErrors(Healthy):
    caught_by = "reports_a_source_that_fails"

    def upsert(self, items: Iterable[VectorItem]) -> None:
        with suppress(SixplyError):
            super().upsert(items)


class GoesBlindWhileWriting(Healthy):
    """Empties its list before it fills a new one."""

    caught_by = "can_be_read_while_it_is_written"

    def upsert(self, items: Iterable[VectorItem]) -> None:
        import time

        old, self.items = self.items, {}
        time.sleep(0.002)
        self.items = old
        super().upsert(items)


class LosesRaces(Healthy):
    """Reads, changes and writes back without a lock."""

    caught_by = "loses_nothing_to_writers_side_by_side"

    def upsert(self, items: Iterable[VectorItem]) -> None:
        import time

        changed = self.items | {item.chunk_id: item for item in items}
        time.sleep(0.001)
        self.items = changed


class ClosesOnce(Healthy):
    caught_by = "closes_twice"

    def __init__(self) -> None:
        super().__init__()
        self.open = ["handle"]

    def close(self) -> None:
        self.open.pop()


class IgnoresTheFilter(Healthy):
    caught_by = "filters_as_every_other_index_and_ledger_does"

    def fits(self, where: Where | None, item: VectorItem) -> bool:
        return True


class TakesNumbersAndTextsForEqual(Healthy):
    caught_by = "filters_as_every_other_index_and_ledger_does"

    def fits(self, where: Where | None, item: VectorItem) -> bool:
        if isinstance(where, OneOf):
            return str(item.attributes.get(where.key)) in map(str, where.values)
        if isinstance(where, AllOf | AnyOf):
            together = all if isinstance(where, AllOf) else any
            return together(self.fits(part, item) for part in where.parts)
        return super().fits(where, item)


class FiltersWhatItFound(Healthy):
    caught_by = "fills_the_limit_from_what_the_filter_admits"

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        found = super().search(vector, scope, limit=limit)
        return [hit for hit in found if self.fits(where, self.items[hit[0]])]


class AFilterOpensTheScope(Healthy):
    caught_by = "applies_a_filter_and_the_scope_together"

    def search(
        self, vector: Vectors, scope: Scope, *, limit: int, where: Where | None = None
    ) -> list[tuple[str, float]]:
        if where is None:
            return super().search(vector, scope, limit=limit)
        items = [item for item in self.items.values() if self.fits(where, item)]
        return [(item.chunk_id, float(item.vector @ vector)) for item in items][:limit]


class KeepsWhatWasKnown(Healthy):
    caught_by = "replaces_what_is_known_of_an_id"

    def upsert(self, items: Iterable[VectorItem]) -> None:
        for item in items:
            old = self.items.get(item.chunk_id)
            super().upsert([replace(item, attributes={**(old.attributes if old else {}), **item.attributes})])


class WritesLate(Healthy):
    """Its sequence stands on the disk at once, its vectors when it is closed: a restart shows nothing, a kill loses them."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.vectors, self.position = folder / "vectors", folder / "position"
        self.items = pickle.loads(self.vectors.read_bytes()) if self.vectors.exists() else {}
        if self.position.exists():
            self.done, self.token = json.loads(self.position.read_text())

    def set_sequence(self, sequence: int, version_token: str = "") -> None:
        super().set_sequence(sequence, version_token)
        self.position.write_text(json.dumps([sequence, version_token]))

    def close(self) -> None:
        self.vectors.write_bytes(pickle.dumps(self.items))


BROKEN = [
    KeepsOnlyAsciiIds, GivesDistances, FarthestFirst, IgnoresTheLimit, TakesTheFirstBatch, AddsInsteadOfReplacing,
    CountsTwice, KeepsOldRights, RemembersSearches, NeverComesBack, ChokesOnUnknownIds, IgnoresTheTenant,
    HidesCommonOnes, IgnoresGroups, DemandsEveryGroup, EmptyMeansEverything, FiltersAfterwards, FoldsNames,
    NormalisesInPlace, ClaimsWhatItDoesNotHold, ForgetsVectorsOnly, KeepsItsStamp, DropsTheStamp,
    LosesVectorsAtRestart, SwallowsErrors,
    GoesBlindWhileWriting, LosesRaces, ClosesOnce,
    IgnoresTheFilter, TakesNumbersAndTextsForEqual, FiltersWhatItFound, AFilterOpensTheScope, KeepsWhatWasKnown,
]  # fmt: skip

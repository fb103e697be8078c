"""The promises of a vector index, on every adapter in retrieval/vectors, and on broken ones that must be rejected."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundation.components import Context, load
from foundation.errors import StoreUnavailable
from foundation.types import EVERY_TENANT, Scope
from retrieval.contract import VectorIndex
from retrieval.documents import VectorItem, Vectors
from retrieval.filters import AnyOf, Value, equals
from tests import services
from tests.contracts import bad_line
from tests.contracts.broken import vectors as broken
from tests.contracts.filter_cases import CASES, KNOWN, disagreements
from tests.contracts.under_test import Watch, adapters, part

DIMENSIONS = 8
ACME = Scope("acme")
MANY = 6_000
"""More than any store that we know takes in one call."""


def direction(seed: int) -> Vectors:
    """A random direction, the same for the same seed."""
    vector = np.random.default_rng(seed).normal(size=DIMENSIONS)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def item(
    name: str,
    seed: int = 1,
    *,
    tenant: str = "acme",
    groups: Iterable[str] = (),
    attributes: Mapping[str, Value] | None = None,
) -> VectorItem:
    return VectorItem(seed, name, tenant, frozenset(groups), direction(seed), attributes or {})


def found(index: VectorIndex, scope: Scope = ACME, *, seed: int = 1, limit: int = 100) -> list[str]:
    return [chunk_id for chunk_id, _ in index.search(direction(seed), scope, limit=limit)]


def keeps_every_id(index: VectorIndex) -> None:
    names = [f"{number:032x}" for number in range(40)] + ["漢字", "naïve-é", "a b", "🙂", "x" * 200]
    index.upsert(item(name, seed) for seed, name in enumerate(names))
    assert sorted(found(index)) == sorted(names)
    assert index.count() == len(names)


def gives_the_nearest_first_with_its_cosine(index: VectorIndex) -> None:
    index.upsert(item(str(seed), seed) for seed in range(50))
    expected = {str(seed): float(direction(seed) @ direction(7)) for seed in range(50)}
    hits = index.search(direction(7), ACME, limit=50)
    assert hits[0][0] == "7"
    assert [score for _, score in hits] == sorted((score for _, score in hits), reverse=True)
    assert dict(hits) == pytest.approx(expected, abs=1e-4)


def gives_no_more_than_asked_for(index: VectorIndex) -> None:
    index.upsert(item(str(seed), seed) for seed in range(20))
    assert len(found(index, limit=5)) == 5
    assert found(index, limit=0) == []


def takes_several_times_what_a_store_takes_in_one_call(index: VectorIndex) -> None:
    index.upsert(item(str(seed), seed) for seed in range(MANY))
    assert index.count() == MANY
    assert found(index, seed=MANY - 1, limit=1) == [str(MANY - 1)]
    index.delete(str(seed) for seed in range(MANY - 1))
    assert (index.count(), found(index)) == (1, [str(MANY - 1)])


def upserts_twice_as_well_as_once(index: VectorIndex) -> None:
    for _ in range(2):
        index.upsert([item("a", 1), item("b", 2)])
    assert (index.count(), sorted(found(index))) == (2, ["a", "b"])


def replaces_the_vector_of_an_id(index: VectorIndex) -> None:
    index.upsert([item("a", 1), item("b", 2)])
    index.upsert([item("a", 3)])
    assert index.search(direction(3), ACME, limit=1) == [("a", pytest.approx(1.0, abs=1e-4))]
    assert index.count() == 2


def takes_the_last_of_two_items_with_one_id(index: VectorIndex) -> None:
    index.upsert([item("a", 1), item("a", 2)])
    assert index.search(direction(2), ACME, limit=9) == [("a", pytest.approx(1.0, abs=1e-4))]


def replaces_the_access_rights_of_an_id(index: VectorIndex) -> None:
    index.upsert([item("a"), item("b")])
    index.upsert([item("a", groups=["board"])])
    assert found(index) == ["b"]
    assert sorted(found(index, Scope("acme", frozenset({"board"})))) == ["a", "b"]
    index.upsert([item("a", tenant="globex")])
    assert (found(index), found(index, Scope("globex"))) == (["b"], ["a"])
    assert index.count() == 2


def finds_nothing_that_was_deleted(index: VectorIndex) -> None:
    index.upsert([item("a"), item("b"), item("c", groups=["board"])])
    found(index)  # whatever it remembers of this search must not outlive the deletion
    index.delete(["a", "c"])
    assert (found(index, Scope("acme", frozenset({"board"}))), index.count()) == (["b"], 1)


def finds_what_was_deleted_and_added_again(index: VectorIndex) -> None:
    index.upsert([item("a")])
    index.delete(["a"])
    index.upsert([item("a")])
    assert found(index) == ["a"]


def ignores_unknown_ids_and_deletes_twice(index: VectorIndex) -> None:
    index.upsert([item("a"), item("b")])
    for _ in range(2):
        index.delete(["a", "never was"])
    assert found(index) == ["b"]


def takes_nothing_at_all(index: VectorIndex) -> None:
    index.upsert([])
    index.delete([])
    assert (found(index), index.count(), index.sequence()) == ([], 0, 0)


def shows_a_tenant_its_own_and_the_common_ones(index: VectorIndex) -> None:
    index.upsert([item("own"), item("common", tenant=EVERY_TENANT), item("foreign", tenant="globex")])
    assert sorted(found(index)) == ["common", "own"]
    assert sorted(found(index, Scope("globex"))) == ["common", "foreign"]
    assert found(index, Scope("acm")) == ["common"]


def shows_restricted_ones_to_their_groups_only(index: VectorIndex) -> None:
    index.upsert(
        [
            item("open"),
            item("either", groups=["board", "finance"]),
            item("finance", groups=["finance"]),
            item("common", tenant=EVERY_TENANT, groups=["finance"]),
            item("foreign", tenant="globex", groups=["finance"]),
        ]
    )
    assert found(index) == ["open"]
    assert found(index, Scope("acme", frozenset({"support", "financ", "*"}))) == ["open"]
    assert sorted(found(index, Scope("acme", frozenset({"board"})))) == ["either", "open"]
    assert sorted(found(index, Scope("acme", frozenset({"finance", "x"})))) == ["common", "either", "finance", "open"]


def shows_an_empty_scope_nothing(index: VectorIndex) -> None:
    index.upsert([item("a"), item("common", tenant=EVERY_TENANT), item("nobody", tenant="", groups=["g"])])
    for tenant in ("", EVERY_TENANT):
        assert found(index, Scope(tenant, frozenset({"g"}))) == []


def fills_the_limit_from_what_the_scope_admits(index: VectorIndex) -> None:
    """Filtering what an unfiltered search found would find none of the three here."""
    index.upsert(item(f"foreign {number}", 1, tenant="globex") for number in range(300))
    index.upsert(item(f"own {seed}", seed) for seed in (2, 3, 4))
    assert sorted(found(index, seed=1, limit=3)) == ["own 2", "own 3", "own 4"]


def filters_as_every_other_index_and_ledger_does(index: VectorIndex) -> None:
    index.upsert(item(name, seed, attributes=known) for seed, (name, known) in enumerate(KNOWN.items()))
    found = {
        case: {chunk_id for chunk_id, _ in index.search(direction(1), ACME, limit=100, where=where)}
        for case, (where, _) in CASES.items()
    }
    assert list(disagreements(found)) == []


def applies_a_filter_and_the_scope_together(index: VectorIndex) -> None:
    index.upsert(
        [
            item("own", attributes={"n": 1}),
            item("other", 2, attributes={"n": 2}),
            item("foreign", tenant="globex", attributes={"n": 1}),
            item("board", groups=["board"], attributes={"n": 1}),
        ]
    )
    either = AnyOf((equals("n", 1), equals("n", 1.5)))
    assert [chunk_id for chunk_id, _ in index.search(direction(1), ACME, limit=9, where=either)] == ["own"]


def fills_the_limit_from_what_the_filter_admits(index: VectorIndex) -> None:
    near = [_between(direction(1), direction(100 + number)) for number in range(300)]
    far = [_between(-direction(1), direction(seed)) for seed in (2, 3, 4)]
    index.upsert(
        VectorItem(1, f"wrong {place}", "acme", frozenset(), vector, {"kind": "wrong"})
        for place, vector in enumerate(near)
    )
    index.upsert(
        VectorItem(2, f"right {place}", "acme", frozenset(), vector, {"kind": "right"})
        for place, vector in enumerate(far)
    )
    hits = index.search(direction(1), ACME, limit=3, where=equals("kind", "right"))
    assert sorted(chunk_id for chunk_id, _ in hits) == ["right 0", "right 1", "right 2"]


def _between(one: Vectors, other: Vectors) -> Vectors:
    """A direction between the two, nearer to the first."""
    both = one + 0.3 * other
    return np.asarray(both / np.linalg.norm(both), dtype=np.float32)


def replaces_what_is_known_of_an_id(index: VectorIndex) -> None:
    index.upsert([item("a", attributes={"kind": "old", "gone": 1})])
    index.upsert([item("a", attributes={"kind": "new"})])
    for where, expected in ((equals("kind", "old"), []), (equals("kind", "new"), ["a"]), (equals("gone", 1), [])):
        assert [chunk_id for chunk_id, _ in index.search(direction(1), ACME, limit=9, where=where)] == expected


def tells_strange_names_apart(index: VectorIndex) -> None:
    tenants = ["a", "A", "a b", "ä", "漢字", "a'; --", 'a"', "$in", "a\x1fb", "x" * 200]
    index.upsert(item(f"id of {tenant}", tenant=tenant, groups=[f"g {tenant}"]) for tenant in tenants)
    for tenant in tenants:
        assert found(index, Scope(tenant, frozenset(f"g {each}" for each in tenants))) == [f"id of {tenant}"]


def leaves_its_input_alone(index: VectorIndex) -> None:
    items = [item("a", 1), item("b", 2, groups=["board"])]
    ids = ["a"]
    query = direction(1)
    index.upsert(items)
    index.search(query, ACME, limit=2)
    index.delete(ids)
    assert ([each.chunk_id for each in items], ids) == (["a", "b"], ["a"])
    assert np.array_equal(items[0].vector, direction(1))
    assert np.array_equal(query, direction(1))


def begins_at_sequence_zero_and_keeps_what_it_is_told(index: VectorIndex) -> None:
    assert index.sequence() == 0
    index.upsert([item("a", 17)])
    assert index.sequence() == 0, "only the one who fills it knows when it is complete"
    index.set_sequence(41)
    assert (index.sequence(), index.version_token()) == (41, "")
    index.set_sequence(42, "stamp of 42")
    assert (index.sequence(), index.version_token()) == (42, "stamp of 42")


def takes_vectors_after_the_sequence_of_an_empty_ledger(index: VectorIndex) -> None:
    """All documents may have been deleted, or none had a passage."""
    index.set_sequence(5, "stamp of 5")
    assert (index.sequence(), index.version_token(), index.count()) == (5, "stamp of 5", 0)
    index.upsert([item("a")])
    assert (found(index), index.sequence(), index.version_token()) == (["a"], 5, "stamp of 5")


def forgets_everything_together(index: VectorIndex) -> None:
    index.upsert([item("a"), item("b", groups=["board"])])
    index.set_sequence(2, "stamp")
    index.clear()
    assert (index.count(), index.sequence(), index.version_token(), found(index)) == (0, 0, "", [])
    index.upsert([item("c")])
    assert found(index) == ["c"]


def reports_a_source_that_fails(index: VectorIndex) -> None:
    def failing() -> Iterator[VectorItem]:
        yield item("a")
        raise StoreUnavailable("The ledger broke off.")

    with pytest.raises(StoreUnavailable, match="broke off"):
        index.upsert(failing())


def can_be_read_while_it_is_written(index: VectorIndex) -> None:
    index.upsert(item(f"steady {seed}", seed) for seed in range(50))
    stop = threading.Event()

    def read() -> int:
        rounds = 0
        while not stop.is_set() or not rounds:
            rounds += 1
            assert {name for name in found(index, limit=500) if name.startswith("steady")} == steady
        return rounds

    steady = {f"steady {seed}" for seed in range(50)}
    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        try:
            for turn in range(6):
                index.upsert(item(f"moving {turn} {seed}", seed, tenant=f"t{turn}") for seed in range(20))
                index.upsert(item(f"mine {seed}", seed) for seed in range(20))
                index.delete(f"mine {seed}" for seed in range(20))
        finally:
            stop.set()
        assert all(reader.result() for reader in readers)


def loses_nothing_to_writers_side_by_side(index: VectorIndex) -> None:
    def write(writer: int) -> None:
        for turn in range(4):  # all different: an approximate graph may not reach one of several equal vectors
            seeds = range(10 * turn, 10 * turn + 10)
            index.upsert(item(f"{writer} {seed}", seed, groups=[f"g{writer}"]) for seed in seeds)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert index.count() == 160
    assert len(found(index, Scope("acme", frozenset({"g0", "g1", "g2", "g3"})), limit=500)) == 160


def closes_twice(index: VectorIndex) -> None:
    index.close()
    index.close()


PROMISES: list[Callable[[VectorIndex], None]] = [
    keeps_every_id, gives_the_nearest_first_with_its_cosine, gives_no_more_than_asked_for,
    takes_several_times_what_a_store_takes_in_one_call, upserts_twice_as_well_as_once, replaces_the_vector_of_an_id,
    takes_the_last_of_two_items_with_one_id, replaces_the_access_rights_of_an_id, finds_nothing_that_was_deleted,
    finds_what_was_deleted_and_added_again, ignores_unknown_ids_and_deletes_twice, takes_nothing_at_all,
    shows_a_tenant_its_own_and_the_common_ones, shows_restricted_ones_to_their_groups_only, shows_an_empty_scope_nothing,
    fills_the_limit_from_what_the_scope_admits, filters_as_every_other_index_and_ledger_does,
    applies_a_filter_and_the_scope_together, fills_the_limit_from_what_the_filter_admits, replaces_what_is_known_of_an_id,
    tells_strange_names_apart, leaves_its_input_alone,
    begins_at_sequence_zero_and_keeps_what_it_is_told, takes_vectors_after_the_sequence_of_an_empty_ledger, forgets_everything_together, reports_a_source_that_fails,
    can_be_read_while_it_is_written, loses_nothing_to_writers_side_by_side, closes_twice,
]  # fmt: skip

SECTION = "retrieval.vectors"
ADAPTERS = adapters(SECTION)


def opened(name: str, folder: Path) -> VectorIndex:
    chosen = part(SECTION, name, **services.options(name, folder))
    index: VectorIndex = load(SECTION, chosen, Context(data_dir=folder), expected=VectorIndex)
    return index


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_every_adapter_keeps(
    promise: Callable[[VectorIndex], None], adapter: str, watched: Watch, data_dir: Path
) -> None:
    index = watched(SECTION, opened(adapter, data_dir))
    try:
        promise(index)
    finally:
        index.close()


def test_after_a_restart_an_index_holds_all_that_its_sequence_claims(adapter: str, data_dir: Path) -> None:
    """It may as well begin anew, at sequence 0; then it is filled from the ledger."""
    index = opened(adapter, data_dir)
    index.upsert([item("a"), item("b", groups=["board"]), item("c", tenant="globex")])
    index.set_sequence(3, "s")
    index.close()
    again = opened(adapter, data_dir)
    try:
        assert_claims_no_more_than_it_holds(again)
    finally:
        again.close()


def test_after_a_kill_an_index_holds_all_that_its_sequence_claims(adapter: str, data_dir: Path, tmp_path: Path) -> None:
    is_killed(lambda folder: opened(adapter, folder), data_dir, tmp_path / "killed")


def is_killed(opened_in: Callable[[Path], VectorIndex], folder: Path, killed: Path) -> None:
    """A copy of the folder of an open index is what a killed process leaves."""
    with closing(opened_in(folder)) as index:
        index.upsert([item("a"), item("b", groups=["board"]), item("c", tenant="globex")])
        index.set_sequence(3, "s")
        shutil.copytree(folder, killed)
    with closing(opened_in(killed)) as index:
        assert_claims_no_more_than_it_holds(index)


def assert_claims_no_more_than_it_holds(index: VectorIndex) -> None:
    held = {*found(index, Scope("acme", frozenset({"board"}))), *found(index, Scope("globex"))}
    assert (index.sequence(), index.version_token(), index.count(), held) in [
        (3, "s", 3, {"a", "b", "c"}),
        (0, "", 0, set()),
    ]


@pytest.mark.parametrize("act", ["upsert", "delete", "search", "count"])
@pytest.mark.parametrize("name", ADAPTERS)
def test_a_closed_store_is_an_error_that_says_so(name: str, act: str, data_dir: Path) -> None:
    index = opened(name, data_dir)
    index.close()
    calls: dict[str, Callable[[], object]] = {
        "upsert": lambda: index.upsert([item("a")]),
        "delete": lambda: index.delete(["a"]),
        "search": lambda: found(index),
        "count": index.count,
    }
    with pytest.raises(StoreUnavailable, match="closed"):
        calls[act]()


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_fault_of_the_store_is_translated_with_its_cause(name: str, data_dir: Path) -> None:
    index = opened(name, data_dir)
    index.upsert([item("a")])
    short = VectorItem(2, "b", "acme", frozenset(), np.ones(3, dtype=np.float32))
    with pytest.raises(StoreUnavailable) as caught:
        index.upsert([short])
    assert caught.value.__cause__ is not None
    assert found(index) == ["a"]
    index.close()


NOBODY = {
    "pgvector": {"dsn": "host=127.0.0.1 port=9 dbname=x"},
    "qdrant": {"url": "http://127.0.0.1:9"},
}
"""Options that lead to no server: port 9 is "discard", where nothing listens."""


@pytest.mark.parametrize("name", [name for name in NOBODY if name in ADAPTERS])
def test_a_server_that_is_not_there_is_an_error_that_names_it(name: str, data_dir: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"(?i)cannot be used: .*(refused|not connect).*\. Check that") as caught:
        load(SECTION, part(SECTION, name, **NOBODY[name]), Context(data_dir=data_dir))
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("name", [name for name in NOBODY if name in ADAPTERS])
def test_a_server_that_never_answers_is_given_up(name: str, data_dir: Path) -> None:
    with (
        bad_line.to_nobody(name, data_dir) as options,
        pytest.raises(StoreUnavailable, match=r"cannot be used: .*(timed out|timeout)") as caught,
    ):
        load(SECTION, part(SECTION, name, **options), Context(data_dir=data_dir))
    assert caught.value.__cause__ is not None


SHARED = [name for name in ("pgvector",) if name in ADAPTERS]
"""Whose server the tests can start."""


@pytest.mark.parametrize("name", SHARED)
def test_a_server_that_falls_silent_is_given_up_and_used_again(name: str, data_dir: Path) -> None:
    with bad_line.to_server(name, data_dir) as (line, options):
        index: VectorIndex = load(SECTION, part(SECTION, name, **options), Context(data_dir=data_dir))
        index.upsert([item("a")])
        line.silence()
        with pytest.raises(StoreUnavailable) as caught:
            found(index)
        assert caught.value.__cause__ is not None
        line.heal()
        bad_line.until(lambda: found(index) == ["a"])
        index.close()


@pytest.mark.parametrize("name", SHARED)
def test_two_processes_may_share_a_server(name: str, data_dir: Path) -> None:
    """Each is another client here, which holds nothing in common with the first."""
    with ExitStack() as open_ones:
        one, other = (open_ones.enter_context(closing(opened(name, data_dir))) for _ in range(2))
        one.upsert([item("a"), item("b", 2, groups=["board"])])
        one.set_sequence(2)
        other.delete(["a"])
        other.upsert([item("c", 3)])
        board = Scope("acme", frozenset({"board"}))
        assert sorted(found(one, board)) == sorted(found(other, board)) == ["b", "c"]
        assert (other.sequence(), one.count()) == (2, 2)
        other.clear()
        assert (found(one, board), one.sequence()) == ([], 0)


def _failures(fault: Callable[[], VectorIndex]) -> list[str]:
    failed = []
    for promise in [*PROMISES, _restarted]:
        try:
            promise(fault())
        except (Exception, pytest.fail.Exception):  # any failure counts, as it does in pytest
            failed.append(promise.__name__)
    return failed


def _restarted(index: VectorIndex) -> None:
    index.upsert([item("a"), item("b", groups=["board"]), item("c", tenant="globex")])
    index.set_sequence(3, "s")
    restart = getattr(index, "restart", None)
    if restart:
        restart()
    assert_claims_no_more_than_it_holds(index)


def test_the_suite_accepts_a_healthy_double() -> None:
    assert _failures(broken.Healthy) == []


def test_the_suite_rejects_one_that_writes_when_it_is_closed(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        is_killed(broken.WritesLate, data_dir, tmp_path / "killed")


@pytest.mark.parametrize("fault", broken.BROKEN, ids=lambda fault: fault.__name__)
def test_the_suite_rejects(fault: Any) -> None:
    assert fault.caught_by in _failures(fault)

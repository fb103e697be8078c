"""Small collections in memory: what they find, and that they follow what is written."""

from __future__ import annotations

import numpy as np
import pytest

from retrieval.index.exact_search import Rows, SmallCollections

A, B, C = np.eye(3, dtype=np.float32)


def rows_of(**vectors: np.ndarray) -> Rows:
    return Rows(list(vectors), np.stack(list(vectors.values())))


def never() -> Rows:
    raise AssertionError("read although it is known")


def write_and_fail(small: SmallCollections) -> None:
    with small.writing():
        small.record("shelf", {"b": B})
        raise OSError("full")


def test_the_nearest_come_first_and_only_those_asked_for() -> None:
    rows = rows_of(a=A, b=B, c=C)
    query = np.array([0.6, 0.8, 0.0], dtype=np.float32)
    assert [name for name, _ in rows.nearest(query, 2, None)] == ["b", "a"]
    assert dict(rows.nearest(query, 9, {"a", "elsewhere"})) == pytest.approx({"a": 0.6})
    assert list(rows.nearest(query, 0, None)) == []
    assert list(Rows([], np.zeros((0, 0), dtype=np.float32)).nearest(query, 3, None)) == []


def test_what_is_written_is_found_and_what_is_taken_off_is_not() -> None:
    small = SmallCollections(3)
    first = small.rows("shelf", lambda: 1, lambda: rows_of(a=A))
    assert first is not None
    with small.writing():
        small.record("shelf", {"a": B, "b": C})
        small.record("shelf", {}, gone={"b", "elsewhere"})
        small.record("never searched", {"a": A})
    after = small.rows("shelf", lambda: 1, never)
    assert after is not None
    assert [name for name, _ in after.nearest(B, 9, None)] == ["a"]
    assert first.matrix.tolist() == [A.tolist()]  # a search under way is not disturbed


def test_a_collection_that_grows_too_large_is_left_to_its_graph() -> None:
    small = SmallCollections(2)
    assert small.rows("large", lambda: 3, never) is None
    assert small.rows("small", lambda: 2, lambda: rows_of(a=A, b=B)) is not None
    with small.writing():
        small.record("small", {"c": C})
    assert small.rows("small", lambda: 3, never) is None


def test_the_longest_unsearched_are_let_go_where_all_together_are_too_many() -> None:
    small, reads = SmallCollections(2), []

    def search(name: str) -> None:
        def read() -> Rows:
            reads.append(name)
            return rows_of(a=A, b=B)

        small.rows(name, lambda: 2, read)

    for name in ["v", "w", "x", "y", "z", "v", "a sixth"]:  # five of them fit
        search(name)
    assert reads == ["v", "w", "x", "y", "z", "a sixth"]
    for name in "vxyzw":
        search(name)
    assert reads[6:] == ["w"]


def test_what_was_read_while_something_was_written_is_not_kept() -> None:
    small = SmallCollections(3)
    with small.writing():
        assert small.rows("shelf", lambda: 1, lambda: rows_of(a=A)) is not None
        small.record("shelf", {"b": B})
    now = small.rows("shelf", lambda: 2, lambda: rows_of(a=A, b=B))
    assert now is not None
    assert now.ids == ["a", "b"]


def test_after_a_failed_write_all_is_read_again() -> None:
    small = SmallCollections(3)
    small.rows("shelf", lambda: 1, lambda: rows_of(a=A))
    with pytest.raises(OSError, match="full"):
        write_and_fail(small)
    now = small.rows("shelf", lambda: 1, lambda: rows_of(a=A))
    assert now is not None
    assert now.ids == ["a"]


def test_a_new_collection_is_known_from_its_beginning_to_where_it_is_too_large() -> None:
    small = SmallCollections(2)
    with small.writing():
        small.add("shelf")
        assert small.holds("shelf")
        for vector in (A, B):
            small.record("shelf", {"a": vector})
            small.record("shelf", {"a": vector})  # which is one vector still
        small.record("shelf", {"b": C})
    kept = small.rows("shelf", lambda: 2, never)
    assert kept is not None
    assert dict(kept.nearest(B, 9, None)) == {"a": 1.0, "b": 0.0}
    with small.writing():
        small.record("shelf", {"c": A})
    assert not small.holds("shelf")


def test_collections_that_are_written_and_never_searched_are_let_go_too() -> None:
    small = SmallCollections(1)
    with small.writing():
        for shelf in "abcdef":
            small.add(shelf)
            small.record(shelf, {shelf: A})
    assert [small.holds(shelf) for shelf in "abcdef"] == [False, *[True] * 5]

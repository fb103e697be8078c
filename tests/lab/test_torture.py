"""The torture trial at a small size, and on a system that does lose something: a trial that cannot fail proves nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.faults.torture import Order, torture
from lab.faults.torture_command import ZEROS, rows

STACK = Path("stack.toml")


def tortured(tmp_path: Path, vectors: dict[str, Any], **size: int) -> dict[str, Any]:
    overrides = {"models": {"embedder": {"use": "hashing"}}, "retrieval": {"vectors": vectors}}
    order = Order(stack=STACK, data_dir=tmp_path, overrides=overrides, ready_chunks=0, **size)
    return torture(order, lambda what, done, total: None)


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(("use", "mutations"), [("chroma", 4), ("exact", 0)])
def test_nothing_acknowledged_is_lost_or_doubled_in_twenty_kills_and_every_damaged_index_is_noticed(
    use: str, mutations: int, tmp_path: Path
) -> None:
    report = tortured(tmp_path, {"use": use}, kills=20, mutations=mutations)
    assert ({name: report[name] for name in ZEROS}, report["misses"]) == (dict.fromkeys(ZEROS, 0), [])
    assert report["kills"] >= 20
    assert report["disk_full_refused"] == report["disk_full"] >= 1
    assert report["acknowledged"] > 0
    assert report["mutations_detected"] == report["mutations"] == mutations
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(600)
def test_the_trial_notices_vectors_that_are_counted_and_not_found(tmp_path: Path) -> None:
    losing = {"use": "tests.doubles.losing_index:build", "every": 3}
    report = tortured(tmp_path, losing, kills=2, mutations=0)
    assert report["lost"] > 0
    assert report["duplicated"] == 0
    told = {(miss["document"], miss["what"]) for miss in report["misses"]}
    assert len(told) == len(report["misses"])
    assert all(uri.endswith(".md") and "not first in the vector leg" in what for uri, what in told)
    assert "killed" in report["misses"][-1]["after"]


def test_each_zero_is_shown_with_the_number_of_trials(tmp_path: Path) -> None:
    report = tortured(tmp_path, {"use": "memory"}, kills=1, mutations=0)
    shown = {name: of for name, _, of in rows(report)}
    assert all(any(digit in of for digit in "0123456789") for name, of in shown.items() if name in ZEROS)

"""The model of what a corpus takes: arithmetic on what a passage was measured to take."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.scale import capacity

MEASURED = capacity.Measured(
    passages=1000, characters=500, dimensions=384, cores=2, embedded_per_core_s=50, committed_per_s=2000,
    indexed_per_s=500, ledger_bytes=4000, disk_bytes=6000, usd_per_hour=0.1,
)  # fmt: skip


def test_each_figure_follows_from_what_a_passage_takes() -> None:
    (found,) = capacity.model(MEASURED, [36_000_000])
    assert found.index_gb == pytest.approx(36 * (384 * 4 + 150) / 1000)
    assert found.index_int8_gb == pytest.approx(36 * (384 + 150) / 1000)
    assert found.disk_gb == pytest.approx(216)
    assert found.embed_h == pytest.approx(100)
    assert found.embed_usd == pytest.approx(10)
    assert found.machines == 5
    assert found.commit_h == pytest.approx(5)
    assert (found.servers, found.servers_int8) == (2, 1)


def test_a_size_is_given_the_smallest_design_that_holds_it() -> None:
    designs = [each.design for each in capacity.model(MEASURED)]
    assert designs == [capacity.ONE_PROCESS] * 3 + [capacity.SHARED] + [capacity.SPLIT] * 2
    large = capacity.Assumptions(server_gb=1000)
    assert capacity.model(MEASURED, [10**8], large)[0].design == capacity.SHARED
    wide = replace(MEASURED, dimensions=3072)
    assert capacity.model(wide, [10**6])[0].design == capacity.SHARED


def test_the_report_the_table_and_the_plot_say_the_same() -> None:
    report = capacity.report(MEASURED)
    assert [each["passages"] for each in report["sizes"]] == list(capacity.SIZES)
    assert report["assumed"]["server_gb"] == 64
    sizes = capacity.model(MEASURED)
    assert capacity.table(sizes).row_count == len(sizes)
    assert capacity.plot(sizes).count("<polyline") == 4

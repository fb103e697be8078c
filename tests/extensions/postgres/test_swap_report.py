"""A swap report from Chroma to pgvector."""
# ruff: noqa: F401, F811 - fixtures of test_swap_report_real.py

from __future__ import annotations

from pathlib import Path

import pytest

from observability.evaluation.baseline import Side
from tests import services
from tests.extensions.swap_report.test_swap_report_real import data, inline, reported, shipped, stack


@pytest.mark.real_model
def test_from_chroma_to_pgvector_nothing_is_found_or_said_differently(
    stack: Path,
    data: Path,
    tmp_path: Path,
    shipped: dict[str, Side],
) -> None:
    swap = f"retrieval.vectors = {inline(use='pgvector', **services.options('pgvector', tmp_path))}"
    code, told = reported(stack, swap, data, tmp_path, shipped)
    assert (code, told["verdict"], told["changed"]) == (0, "equal", [])
    used = [told["runs"][side]["stack"]["retrieval.vectors.use"] for side in ("a", "b")]
    assert used == ["exact", "pgvector"]

"""Curves of the lab's notes."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from lab import plots


@pytest.mark.parametrize("series", [{"s": [(0.0, 1.0), (1.0, 3.0)]}, {}])
def test_curves_are_well_formed_and_have_a_label_for_screen_readers(
    series: dict[str, list[tuple[float, float]]],
) -> None:
    root = ET.fromstring(plots.lines(series, title="T", x_label="x", y_label="y"))
    assert (root.tag, root.get("aria-label")) == ("svg", "T")
    assert sum(element.tag == "polyline" for element in root) == len(series)

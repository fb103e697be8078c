"""Plots are well-formed SVG with a label for screen readers."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from extensions.plots import svg

DRAWN = {
    "ranges": svg.ranges({"a": (1.0, 0.0, 2.0), "b": (None, -1.0, 1.0)}, title="T", mark=1.5),
    "waterfall": svg.waterfall({"up & up": 5.0, "<down>": -7.0}, title="T"),
}


@pytest.mark.parametrize("name", DRAWN)
def test_each_plot_is_well_formed_and_has_a_label_for_screen_readers(name):
    root = ET.fromstring(DRAWN[name])
    assert root.tag == "svg"
    assert root.get("aria-label") == "T"


def test_a_loss_is_drawn_in_another_colour():
    bars = [element for element in ET.fromstring(DRAWN["waterfall"]) if element.tag == "rect"]
    assert bars[0].get("fill") != bars[1].get("fill")


def test_a_waterfall_ends_at_the_sum():
    words = [element.text for element in ET.fromstring(DRAWN["waterfall"]) if element.tag == "text"]
    assert words[-1] == "-2"

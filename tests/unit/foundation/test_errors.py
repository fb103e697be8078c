"""Errors name what was found and the nearest name."""

from __future__ import annotations

from foundation.errors import UpstreamLimited, did_you_mean


def test_the_nearest_name_is_suggested():
    assert did_you_mean("chorma", ["memory", "chroma"]) == 'Found: chroma, memory. Did you mean "chroma"?'


def test_nothing_is_suggested_when_nothing_is_near():
    assert did_you_mean("zebra", ["chroma", "memory"]) == "Found: chroma, memory."


def test_an_empty_folder_is_said_to_be_empty():
    assert did_you_mean("chroma", []) == "Found: nothing."


def test_an_error_reads_as_its_text():
    assert str(UpstreamLimited("Slow down.", retry_after_s=2)) == "Slow down."

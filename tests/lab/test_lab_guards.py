"""The guards of the lab's own code, which `make check` runs where the lab is there."""

from __future__ import annotations

import pytest

from tests.architecture.test_guards import run


@pytest.mark.slow
def test_types_hold_in_strict_mode():
    run("mypy", "-p", "lab")


def test_the_lab_imports_no_adapter():
    run("lint-imports", "--no-cache", "--config", "lab/imports.toml")

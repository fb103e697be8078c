"""Processes for tests that start many: forked from one that has imported what they need, which is most of their start."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerContext

IMPORTED = ["__main__"]


def forks(*modules: str) -> ForkServerContext:
    """Said when a test file is imported, so that the modules of all of them are there before the first fork."""
    IMPORTED.extend(modules)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context

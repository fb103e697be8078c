"""Processes for tests that start many: forked from one that has imported what they need, which is most of their start."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerProcess
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
IMPORTED = ["__main__"]


def preload(*modules: str) -> None:
    """Said when a test file is imported, so that the modules of all of them are there before the first fork."""
    IMPORTED.extend(modules)
    CONTEXT.set_forkserver_preload([*IMPORTED, "tests.frozen"])


def fork(
    target: Callable[..., object], *arguments: Any, environment: Mapping[str, str] | None = None
) -> ForkServerProcess:
    """A process that was started, with the caller's environment as it is now or with another one. What forks it keeps the environment that
    it found at its first use.
    """
    given = dict(os.environ if environment is None else environment)
    process = CONTEXT.Process(target=_be, args=(given, target, arguments))
    process.start()
    return process


def _be(environment: dict[str, str], target: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    target(*arguments)

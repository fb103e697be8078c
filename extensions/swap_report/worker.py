"""One side of a swap report: a whole system in a process and a data folder of its own. `concurrent.futures` calls these."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

_opened = ExitStack()
# The function that runs a trial on this process's system, once that is open
_trials: list[Callable[[int], dict[str, Any]]] = []


def redirect_output(complaints: Path) -> None:
    """Send what libraries print to a file: two systems would write over the report."""
    file = os.open(complaints, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(file, stream)


def open_side(stack: Path, overrides: Mapping[str, Any], data: Path, limit: int | None) -> dict[str, Any]:
    """Open this process's system and ingest the documents. Return what is measured once."""
    from extensions.swap_report.questions import read_material
    from serving.judge.trial import open_trials
    from serving.settings import load

    material = read_material(data, limit)
    side = _opened.enter_context(open_trials(load(stack, overrides=dict(overrides)), material))
    _trials.append(lambda number: side.run(material.trials[number]))
    digests = {"corpus": material.corpus_digest, "trials": material.trials_digest}
    return digests | {"stack": side.stack, "figures": side.figures}


def run_trial(number: int) -> dict[str, Any]:
    return _trials[0](number)


def close_side() -> dict[str, Any]:
    """Close the system. Return the process's peak of memory."""
    from foundation.machine.process import peak_rss_mb

    _opened.close()
    return {"peak_rss_mb": peak_rss_mb()}

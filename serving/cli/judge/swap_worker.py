"""One side of a swap report: a whole system in a process and a data folder of its own. `concurrent.futures` calls these."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from observability.evaluation.golden_set import GoldenCase
    from orchestration.events import Answer

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
    from observability.evaluation import trials
    from observability.evaluation.compare import WRITERS
    from observability.evaluation.leaks import LeakFinder
    from serving.judge import trial
    from serving.settings import load
    from serving.wiring import open_system

    material = trials.material(data, limit)
    loaded = load(stack, overrides=dict(overrides))
    # one loop for all trials: the clients of many models keep connections that end with the loop in which they were opened
    loop = _opened.enter_context(asyncio.Runner())
    started_s = time.perf_counter()
    system = _opened.enter_context(open_system(loaded))
    opened_s = time.perf_counter()
    report = system.ingestor.ingest(material.items)
    figures = {"open_s": opened_s - started_s, "ingest_s": time.perf_counter() - opened_s}
    leaks = LeakFinder(trial.texts_of(system, [trial.case for trial in material.trials]))

    def answer(case: GoldenCase) -> Awaitable[Answer]:
        return trial.ask_case(system, case, "swap report")

    def retrieve(case: GoldenCase) -> list[str]:
        hits = system.retriever.retrieve(case.question, case.scope, limit=trials.DEPTH)
        return [hit.source.uri for hit in hits]

    _trials.append(lambda number: loop.run(trials.row_of(material.trials[number], answer, retrieve, leaks)))
    # the parts by port, the settings of what writes answers, and the prompts
    described = {key: value for key, value, _ in loaded.rows() if key.endswith(".use") or key.startswith(WRITERS)}
    described |= {f"prompts.{name}": label for name, label in system.parts.prompts.labels().items()}
    return {
        "corpus": material.corpus_digest,
        "trials": material.trials_digest,
        "stack": described,
        "figures": figures | {"documents": report.added, "chunks": report.chunks},
    }


def run_trial(number: int) -> dict[str, Any]:
    return _trials[0](number)


def close_side() -> dict[str, Any]:
    """Close the system. Return the process's peak of memory."""
    from foundation.machine.process import peak_rss_mb

    _opened.close()
    return {"peak_rss_mb": peak_rss_mb()}

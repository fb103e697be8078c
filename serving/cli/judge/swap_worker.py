"""One side of a swap report: a whole system in a process and a data folder of its own, controlled over a pipe."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import SixplyError

if TYPE_CHECKING:
    from observability.evaluation.golden_set import GoldenCase
    from orchestration.events import Answer
    from serving.settings import Loaded
    from serving.wiring import System


def serve(pipe: Connection, complaints: Path, **order: Any) -> None:
    """Run the trials whose numbers come over the pipe, until `None`. One of our errors is sent as text and ends the
    process; output of libraries goes to the file `complaints`."""
    with complaints.open("w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    try:
        for reply in _measure(iter(pipe.recv, None), **order):
            pipe.send(reply)
    except SixplyError as error:
        pipe.send(str(error))


def _measure(
    numbers: Iterator[int], *, stack: Path, overrides: Mapping[str, Any], data: Path, limit: int | None
) -> Iterator[dict[str, Any]]:
    """Yield the values measured once, then a row per trial, then the memory."""
    from foundation.machine.memory import peak_rss_mb
    from observability.evaluation import trials
    from observability.evaluation.leaks import LeakFinder
    from serving.judge import trial
    from serving.settings import load
    from serving.wiring import open_system

    material = trials.material(data, limit)
    loaded = load(stack, overrides=dict(overrides))
    started_s = time.perf_counter()
    with open_system(loaded) as system:
        opened_s = time.perf_counter()
        report = system.ingestor.ingest(material.items)
        figures = {"open_s": opened_s - started_s, "ingest_s": time.perf_counter() - opened_s}
        yield {
            "corpus": material.corpus_digest,
            "trials": material.trials_digest,
            "stack": _describe_stack(loaded, system),
            "figures": figures | {"documents": report.added, "chunks": report.chunks},
        }
        leaks = LeakFinder(trial.texts_of(system, [trial.case for trial in material.trials]))

        def answer(case: GoldenCase) -> Awaitable[Answer]:
            return trial.ask_case(system, case, "swap report")

        def retrieve(case: GoldenCase) -> list[str]:
            hits = system.retriever.retrieve(case.question, case.scope, limit=trials.DEPTH)
            return [hit.source.uri for hit in hits]

        for number in numbers:
            yield asyncio.run(trials.row_of(material.trials[number], answer, retrieve, leaks))
    yield {"peak_rss_mb": peak_rss_mb()}


def _describe_stack(loaded: Loaded, system: System) -> dict[str, str]:
    """Return the parts by port, the settings of what writes answers, and the prompts."""
    from observability.evaluation.compare import WRITERS

    stack = {key: value for key, value, _ in loaded.rows() if key.endswith(".use") or key.startswith(WRITERS)}
    return stack | {f"prompts.{name}": label for name, label in system.parts.prompts.labels().items()}

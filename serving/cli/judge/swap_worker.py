"""One side of a swap report: a whole system in a process and a data folder of its own, asked from outside.

    python -m serving.cli.judge.swap_worker     one JSON object a line on standard input, and one back for each

The first line says which stack, which changes over it and which data; then each line is the number of a trial. The
process is its own so that memory and cold start belong to one system, and so that two of them never share a cache.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import SixplyError

if TYPE_CHECKING:
    from serving.settings import Loaded
    from serving.wiring import System


def main() -> None:
    """Answer until standard input ends. An error of ours is told in a line and ends the process."""
    tell = _voice()
    lines = (json.loads(line) for line in sys.stdin)
    try:
        for reply in serve(next(lines), lines):
            tell(reply)
    except SixplyError as error:
        tell({"error": str(error)})


def serve(order: Mapping[str, Any], numbers: Iterator[int]) -> Iterator[dict[str, Any]]:
    """What was measured once, then a row for each number, then the memory."""
    from foundation.machine.memory import peak_rss_mb
    from observability.evaluation import trials
    from observability.evaluation.golden_set import GoldenCase
    from observability.evaluation.leaks import LeakFinder
    from orchestration.events import Answer
    from serving.judge import trial
    from serving.settings import load
    from serving.wiring import open_system

    material = trials.material(Path(order["data"]), order["limit"])
    loaded = load(Path(order["stack"]), overrides=order["overrides"])
    started_s = time.perf_counter()
    with open_system(loaded) as system:
        opened = time.perf_counter()
        report = system.ingestor.ingest(material.items)
        yield {
            "corpus": material.corpus_digest,
            "trials": material.trials_digest,
            "stack": _describe_stack(loaded, system),
            "figures": {
                "open_s": opened - started_s,
                "ingest_s": time.perf_counter() - opened,
                "documents": report.added,
                "chunks": report.chunks,
            },
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
    """The parts by their ports, all that is said of whoever writes, and the prompts."""
    from observability.evaluation.compare import WRITERS

    stack = {key: value for key, value, _ in loaded.rows() if key.endswith(".use") or key.startswith(WRITERS)}
    return stack | {f"prompts.{name}": label for name, label in system.manifest.prompts.items()}


def _voice() -> Callable[[dict[str, Any]], None]:
    """Standard output is kept for the answers; what a library prints goes to standard error."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(said: dict[str, Any]) -> None:
        out.write(json.dumps(said, default=str) + "\n")
        out.flush()

    return tell


if __name__ == "__main__":
    main()

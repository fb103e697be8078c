"""A whole system of the parts in stack.toml, with four short documents of a fictional ferry; deleted when it is closed."""

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foundation.types import Principal
from orchestration.events import Answer
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving.judge import trial
from serving.settings import load
from serving.wiring import System, open_system

DOCUMENTS = {
    "fares.md": "# Fares\n\nA single adult ticket between Port Ellis and Graynes costs 14.50 euros. Children under 6 travel free.\n\n"
    "## Bicycles\n\nA bicycle costs 3 euros on each crossing.",
    "timetable.md": "# Summer timetable\n\nFrom 1 April to 31 October the ferry leaves Port Ellis at 6:30, 9:00 and 15:30. "
    "The crossing takes 55 minutes.",
    "luggage.md": "# Luggage\n\nEach passenger may bring two pieces of luggage of up to 20 kg. Found items are kept for 30 days "
    "at the office in Graynes.",
    "dogs.md": "# Dogs\n\nDogs travel free and must be kept on a lead. They may not enter the restaurant.",
}
VISITOR = Principal("ada", tenant="harbour", roles=frozenset({"agent"}))


@contextmanager
def small_system(
    overrides: Mapping[str, Any] | None = None, documents: Mapping[str, str] = DOCUMENTS
) -> Iterator[System]:
    """Open the six layers with `overrides` of stack.toml, and store the documents, by name, for VISITOR's tenant."""
    with tempfile.TemporaryDirectory(prefix="ladder-") as folder:
        base: dict[str, dict[str, Any]] = {
            "foundation": {"data_dir": folder},
            "orchestration": {"tools": []},
            # four documents hold no look-alikes; for yours, make calibrate
            "retrieval": {"grounding": {"answered_from": 0.4}},
        }
        laid_over = overrides or {}
        merged = {**laid_over, **{layer: {**values, **laid_over.get(layer, {})} for layer, values in base.items()}}
        with open_system(load(Path("stack.toml"), overrides=merged)) as system:
            store(system, documents)
            yield system


def store(system: System, documents: Mapping[str, str], tenant: str = VISITOR.tenant) -> None:
    system.retrieval.ingestor.ingest(
        [Item(Source(name, tenant), text.encode(), name) for name, text in documents.items()]
    )


def ask(system: System, question: str, person: Principal = VISITOR) -> Answer:
    return asyncio.run(trial.ask(system, question, person))

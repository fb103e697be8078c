"""Run a system in a folder of its own, and ask it questions with known answers."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, HumanMessage

from foundation.errors import InvalidRequest
from foundation.types import Principal, Scope
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from orchestration.run import answering
from serving.settings import Loaded, Settings
from serving.wiring import System, open_system

if TYPE_CHECKING:
    from observability.evaluation.golden_set import GoldenCase, Report
    from observability.evaluation.leaks import DocumentText
    from observability.evaluation.trials import Material, Trial

# Prefixes of the stack's keys that decide who writes the drafts
WRITERS = ("models.chat.", "models.fallbacks", "models.tenants.", "orchestration.agent.", "prompts.")
Configure = Callable[[dict[str, object]], Loaded]
Count = Callable[[int], None]


async def golden_report(system: System, cases: list[GoldenCase], progress: Count | None = None) -> Report:
    """Ask every case through the product's own answer path, as an agent of the case's tenant, and score the answers."""
    from observability.evaluation.golden_set import GOLDEN_SET, evaluate_golden

    def retrieve(case: GoldenCase) -> list[str]:
        return list(dict.fromkeys(hit.source.uri for hit in system.retriever.retrieve(case.searched, case.scope)))

    try:
        return await evaluate_golden(
            cases,
            lambda case: ask_case(system, case, GOLDEN_SET),
            retrieve=retrieve,
            documents=texts_of(system, cases),
            progress=progress,
            seed=system.context.seed,
        )
    finally:
        # an effect that a case asked for waits, and nobody would ever decide it
        for tenant in {case.tenant for case in cases}:
            system.orchestration.approvals.erase(tenant, GOLDEN_SET)


@dataclass(frozen=True)
class OpenTrials:
    """A system in which the documents of the trials are, and what is known of it."""

    run: Callable[[Trial], dict[str, Any]]
    """Ask and search once; return the row."""
    stack: Mapping[str, str]
    """The parts by port, the settings of what writes answers, and the prompts."""
    figures: Mapping[str, float]


@contextmanager
def open_trials(loaded: Loaded, material: Material) -> Iterator[OpenTrials]:
    """Open a system and take in the documents of the trials. Its data folder is to be empty."""
    from observability.evaluation.leaks import LeakFinder
    from observability.evaluation.trials import DEPTH, row_of

    started_s = time.perf_counter()
    # one loop for all trials: the clients of many models keep connections that end with the loop in which they were opened
    with asyncio.Runner() as loop, open_system(loaded) as system:
        opened_s = time.perf_counter()
        report = system.retrieval.ingestor.ingest(material.items)
        figures = {"open_s": opened_s - started_s, "ingest_s": time.perf_counter() - opened_s}
        leaks = LeakFinder(texts_of(system, [trial.case for trial in material.trials]))

        def answer(case: GoldenCase) -> Awaitable[Answer]:
            return ask_case(system, case, "evaluation")

        def retrieve(case: GoldenCase) -> list[str]:
            return [hit.source.uri for hit in system.retriever.retrieve(case.searched, case.scope, limit=DEPTH)]

        described = {key: value for key, value, _ in loaded.rows() if key.endswith(".use") or key.startswith(WRITERS)}
        yield OpenTrials(
            lambda trial: loop.run(row_of(trial, answer, retrieve, leaks)),
            described | {f"prompts.{name}": label for name, label in system.parts.prompts.labels().items()},
            figures | {"documents": report.added, "chunks": report.chunks},
        )


async def ask_case(system: System, case: GoldenCase, subject: str) -> Answer:
    """Ask as `subject`, an agent of the case's tenant and groups."""
    person = Principal(subject, case.tenant, frozenset({"agent"}), frozenset(case.groups))
    before = tuple(
        message for question, answer in case.history for message in (HumanMessage(question), AIMessage(answer))
    )
    request = AnswerRequest(question=case.question, messages=before)
    return await answering.answer(system.agent, request, person)


async def ask(system: System, question: str, person: Principal) -> Answer:
    return await answering.answer(system.agent, AnswerRequest(question=question), person)


def golden_file(settings: Settings) -> Path:
    return settings.observability.golden_set / "golden.jsonl"


@contextmanager
def empty_system(
    configure: Configure, more: Mapping[str, object] | None = None
) -> Iterator[tuple[System, dict[str, str]]]:
    """Open a system in an empty folder: a benchmark neither sees nor leaves documents of yours."""
    with own_folder(configure, more) as loaded, open_system(loaded) as system:
        yield system, {key: value for key, value, _ in loaded.rows() if key.endswith(".use")}


@contextmanager
def own_folder(configure: Configure, more: Mapping[str, object] | None = None) -> Iterator[Loaded]:
    """Yield the configuration with an empty data folder, which is deleted afterwards."""
    home = configure({}).settings.foundation.data_dir
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=home) as folder:
        yield configure({"foundation": {"data_dir": folder}, **(more or {})})


def texts_of(system: System, cases: list[GoldenCase]) -> list[DocumentText]:
    """Return every stored text that the cases may read, to find text that an answer should not have shown."""
    from observability.evaluation.leaks import DocumentText

    groups = frozenset(group for case in cases for group in case.groups)
    texts = {}
    for tenant in sorted({case.tenant for case in cases}):
        scope = Scope(tenant, groups)
        for document in system.retrieval.ledger.documents(scope):
            text = system.retrieval.ledger.text(document.document_id, scope) or ""
            source = document.source
            texts[document.document_id] = DocumentText(source.uri, source.tenant, source.groups, text)
    if not texts:
        tenants = ", ".join(sorted({case.tenant for case in cases}))
        raise InvalidRequest(
            f"The ledger holds no document that these questions may read; they are asked for tenant {tenants}. Run "
            "make ingest SRC=folder TENANT=..., or make ingest SRC=folder TENANT='*' for documents that all tenants may read."
        )
    return list(texts.values())


def evaluation_file(settings: Settings) -> Path:
    """Return where the latest evaluation is kept."""
    return settings.foundation.data_dir / "reports" / "evaluation.json"

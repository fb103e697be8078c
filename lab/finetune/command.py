"""`sixply finetune`: a model is trained, held against what runs now, and written for `stack.toml` to name.

One flow for every part: read and split, mine, train, measure on what was held out, write. What is written is complete and says
in its record (`tuning.json`) what it is worth; it is not used until `stack.toml` names it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import InvalidRequest
from foundation.machine import manifest
from serving.cli import terminal
from serving.judge.trial import Configure, empty_system
from serving.settings import Settings
from serving.wiring import System, open_system

if TYPE_CHECKING:
    from lab.finetune.held_out import Query
    from lab.tuning.training import Example, Plan
    from models.contract import Reranker
    from retrieval.contract import Retriever

EPOCHS = {"reranker": 2, "embedder": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a part is tuned on, and where it goes. `epochs` of `None` are the part's own."""

    data: Path
    to: Path
    seed: int
    limit: int | None = None
    epochs: int | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """An order as it is carried out: with the configuration, the folder to write into, and whom to tell how far it is."""

    order: Order
    configure: Configure
    new: Path
    progress: Callable[[str, int, int], None]

    @property
    def stack_dir(self) -> Path:
        """The folder of stack.toml."""
        from serving.settings import context_of

        return context_of(self.configure({}).settings).stack_dir

    def name_in_stack(self, path: Path) -> str:
        """The path as stack.toml names it."""
        return str(path) if path.is_absolute() else os.path.relpath(path, self.stack_dir)


def finetune(configure: Configure, part: str, order: Order, json: Path | None) -> bool:
    """Whether the tuned part is better on what was held out. It is written either way.

    Raises:
        MissingDependency: the extra `finetune` is not installed.
        InvalidRequest: the data are not in the format or too few, or the folder would replace something else, a model in
            use, or a part of the data.
    """
    from lab.tuning import folder

    folder.demand_packages()
    _demand_free(configure({}).settings, order)
    with terminal.progress() as progress, folder.beside(order.to) as new:
        figures = TUNE[part](Work(order, configure, new, progress)) | {
            "part": part,
            "seed": order.seed,
            "data": order.data.name,
            "data_sha256": manifest.digest_of_files([order.data]),
        }
        folder.write_record(new, figures)
    if not terminal.write_json(json, figures | {"to": str(order.to)}):
        _show(figures, order.to)
    return bool(figures["verdict"] == "better")


def _demand_free(settings: Settings, order: Order) -> None:
    from models import weights
    from serving.settings import context_of

    to, data = order.to.resolve(), order.data.resolve()
    if data in to.parents:
        raise InvalidRequest(
            f"{order.to} lies in {order.data}, so what is written would be taken for data. Name a folder outside with TO=folder."
        )
    used = [(f"models.{name}", getattr(settings.models, name)) for name in ("chat", "embedder", "reranker")]
    used += [("models.fallbacks", part) for part in settings.models.fallbacks]
    for section, part in used:
        if any(to in file.resolve().parents for file in weights.named_in([part], context_of(settings).stack_dir)):
            raise InvalidRequest(f"{order.to} is in use by [{section}]; name another folder with TO=folder.")


# -- one function a part: what it was worth (`verdict`, and `told` in a sentence), and its lines of stack.toml (`stack`) -----


def tune_reranker(work: Work) -> dict[str, Any]:
    """A cross-encoder, from the one in use or else from the bundled MiniLM, and its weight beside the fused score."""
    from foundation import components
    from foundation.settings import Part
    from lab.finetune import held_out as bench
    from lab.tuning import folder, reranker
    from models.contract import ScoringParts
    from models.scoring.checked import reranker_of

    split = bench.read_split(work.order.data, work.order.limit)
    to_train, to_weigh = bench.apart(split.train)
    with searched(work) as system:
        used = system.settings.models.reranker
        base = _folder_of(work, used.options if used.use == "cross_encoder" else {})
        examples = _examples(work, system, to_train)
        plan = _plan(work, system, "reranker", batch_size=reranker.BATCH, learning_rate=reranker.LEARNING_RATE)
        pairs = reranker.train(examples, base=base, to=work.new, plan=plan, progress=work.progress)
        parts = ScoringParts(**vars(system.context), embedder=system.models.embedder)
        made = components.load("models.reranker", Part(use="cross_encoder", path=str(work.new.resolve())), parts)
        tuned = bench.RemembersScores(reranker_of(made))
        weight = bench.best_weight(to_weigh, lambda each: _search(system, tuned, each), progress=work.progress)
        runs = [
            bench.served(split.held_out, search, what=what, progress=work.progress)
            for what, search in (
                ("before", _search(system, system.models.reranker)),
                ("after", _search(system, tuned, weight)),
            )
        ]
    return {
        **bench.compared(split, *runs, seed=work.order.seed),
        "n_trained": len(to_train),
        "n_weighed": len(to_weigh),
        "examples": len(examples),
        "pairs": pairs,
        "epochs": plan.epochs,
        "rerank_weight": weight,
        "from": folder.origin(base),
        "stack": {
            "models.reranker": {"use": "cross_encoder", "path": work.name_in_stack(work.order.to)},
            "retrieval.ranking": {"rerank_weight": weight},
        },
    }


def tune_embedder(work: Work) -> dict[str, Any]:
    """The embedder in use. It is measured over the same passages, embedded anew in a folder that is thrown away."""
    from lab.finetune import held_out as bench
    from lab.tuning import embedder, folder

    used = work.configure({}).settings.models.embedder
    if used.use not in {"openvino", "sentence_transformers"}:
        raise InvalidRequest(
            f'[models.embedder] use = "{used.use}" has no weights here that could be trained. Name "openvino" or '
            f'"sentence_transformers", with the path of a folder or without one for the bundled model.'
        )
    base = _folder_of(work, used.options)
    split = bench.read_split(work.order.data, work.order.limit)
    with searched(work) as system:
        examples = _examples(work, system, split.train)
        plan = _plan(work, system, "embedder", batch_size=embedder.BATCH, learning_rate=embedder.LEARNING_RATE)
        triples = embedder.train(examples, base=base, to=work.new, plan=plan, progress=work.progress)
        before = bench.served(
            split.held_out, _search(system, system.models.reranker), what="before", progress=work.progress
        )
        with empty_system(work.configure, {"models": {"embedder": {"path": str(work.new.resolve())}}}) as (other, _):
            _copy_passages(work, system, other)
            after = bench.served(
                split.held_out, _search(other, other.models.reranker), what="after", progress=work.progress
            )
    return {
        **bench.compared(split, before, after, seed=work.order.seed),
        "n_trained": len(split.train),
        "examples": len(examples),
        "triples": triples,
        "epochs": plan.epochs,
        "from": folder.origin(base),
        "stack": {"models.embedder": {**used.options, "use": used.use, "path": work.name_in_stack(work.order.to)}},
        "then": "make reindex",
    }


def tune_chat(work: Work) -> dict[str, Any]:
    """The chat model in use, by an adapter beside its weights."""
    from lab.finetune import chat

    return chat.tune_chat(work)


TUNE: dict[str, Callable[[Work], dict[str, Any]]] = {
    "reranker": tune_reranker,
    "embedder": tune_embedder,
    "chat": tune_chat,
}


# -- what they share ---------------------------------------------------------------------------------------------------


@contextmanager
def searched(work: Work) -> Iterator[System]:
    """The documents that the queries are about: those that are stored, where the data are a golden set's file; otherwise
    those of the folder, in a system of its own that is thrown away.
    """
    from extensions.datasets.reading import items_of, read_corpus
    from observability.evaluation.golden_set import load_golden
    from observability.evaluation.trials import golden_documents

    data = work.order.data
    if data.is_file():
        with open_system(work.configure({})) as system:
            yield system
        return
    golden = data / "golden.jsonl"
    items = golden_documents(data, load_golden(golden)) if golden.exists() else items_of(read_corpus(data))
    with empty_system(work.configure) as (system, _):
        system.retrieval.ingestor.ingest(items, progress=lambda done: work.progress("ingest", done, len(items)))
        yield system


def _search(system: System, reranker: Reranker | None, weight: float | None = None) -> Retriever:
    """The system's search with this reranker, without its traces."""
    from retrieval.search.hybrid import HybridRetriever

    ranking = system.settings.retrieval.ranking
    return HybridRetriever(
        ledger=system.retrieval.ledger,
        vectors=system.retrieval.vectors,
        embedder=system.models.embedder,
        reranker=reranker,
        ranking=ranking if weight is None else ranking.model_copy(update={"rerank_weight": weight}),
        clock=system.context.clock,
        multilingual=system.settings.retrieval.multilingual,
    )


def _examples(work: Work, system: System, queries: Sequence[Query]) -> list[Example]:
    from lab.finetune import held_out as bench

    found = bench.mined(queries, _search(system, None), seed=work.order.seed, progress=work.progress)
    if not found:
        raise InvalidRequest(
            f"None of the {len(queries)} training queries has a gold document among those that are stored, and another one "
            "beside it. Ingest the documents, or name them as `make documents` does."
        )
    return found


def _copy_passages(work: Work, system: System, other: System) -> None:
    """The passages of `system` into `other`, embedded by the latter's embedder."""
    from models.embedding import embed
    from retrieval.index.maintenance import catch_up

    total = system.retrieval.ledger.document_count()
    for done, entry in enumerate(system.retrieval.ledger.entries(), 1):
        vectors = embed(other.models.embedder, [chunk.indexed_text for chunk in entry.chunks])
        other.retrieval.ledger.put([replace(entry, vectors=vectors)])
        work.progress("embed", done, total)
    catch_up(other.retrieval.ledger, other.retrieval.vectors)


def _folder_of(work: Work, options: Mapping[str, Any]) -> Path:
    from models import weights

    return work.stack_dir / options["path"] if options.get("path") else weights.MINILM.path.parent


def _plan(work: Work, system: System, part: str, *, batch_size: int, learning_rate: float) -> Plan:
    from lab.tuning.training import Plan

    return Plan(
        epochs=work.order.epochs or EPOCHS[part],
        seed=work.order.seed,
        threads=system.context.threads,
        batch_size=batch_size,
        learning_rate=learning_rate,
    )


def _show(figures: Mapping[str, Any], to: Path) -> None:
    out = terminal.console()
    rows = [(name, f"{value:.4g}" if isinstance(value, float) else value) for name, value in figures.items()]
    terminal.show_table(
        ["figure", ""], [row for row in rows if not isinstance(row[1], Mapping) and row[0] not in _TOLD]
    )
    out.print(f"\n[bold]{terminal.plain(figures['verdict'])}[/]: {terminal.plain(figures['told'])}")
    if figures["verdict"] != "better":
        out.print(f"It lies in {terminal.plain(to)}. Do not take it: it was not shown to serve better.")
        return
    out.print("To take it, in stack.toml:\n")
    for section, values in figures["stack"].items():
        out.print(terminal.plain(f"[{section}]"))
        for name, value in values.items():
            out.print(terminal.plain(f"{name} = " + (f'"{value}"' if isinstance(value, str) else str(value))))
    if then := figures.get("then"):
        out.print(f"\nThen: {then}")


_TOLD = ("verdict", "told", "then")
"""Shown below the table."""

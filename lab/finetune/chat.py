"""`sixply finetune chat`: an adapter for the language model in use, from conversations or from a golden set.

Of a golden set the conversations are made here, with the evidence and the prompt of `compose = "generative"`, and what the
system answers to the held-out questions is held against what it answered before.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import InvalidRequest
from foundation.types import Principal
from lab.finetune.command import Work, searched
from observability.evaluation.golden_set import GOLDEN_SET
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from orchestration.run import answering
from serving.settings import Loaded, Settings
from serving.wiring import System

if TYPE_CHECKING:
    from lab.tuning.chat import Example, Tuned
    from observability.evaluation.golden_set import CaseScore, GoldenCase
    from retrieval.grounding.citing import Evidence

EPOCHS = 3
SERVED = ("answered", "answer_contained", "citation_precision", "citation_recall")
"""What is compared of the answers to held-out golden questions; unless it is answered, the others are 0."""


def tune_chat(work: Work) -> dict[str, Any]:
    """What came of it. Better is a model by the facts in its answers to a golden set, else by its loss on other conversations.

    Raises:
        InvalidRequest: the data cannot be learned from, or the model is not one that is served from a file here.
    """
    from lab.tuning import chat
    from observability.evaluation.questions import evenly

    settings = work.configure({}).settings
    _base(settings)  # before anything is read
    cases = golden_cases(work.order.data)
    if cases is None:
        train, held_out = (evenly(half, work.order.limit) for half in chat.split(chat.read_examples(work.order.data)))
        tuned = _tuned(work, settings, train, held_out)
        gain = _gain([was - now for was, now, _ in tuned.held_out], work.order.seed)
        return _figures(work, settings, tuned) | {
            "split": f"one in {chat.HELD_OUT} by a hash of the conversation",
            **_verdict(gain, "nats a token less", f"{gain['n']} conversations"),
        }
    asked = [evenly(half, work.order.limit) for half in _halves(cases)]
    with searched(work) as system:
        train, held_out = (_examples(work, system, half) for half in asked)
        chat.demand_both(train, held_out)
        before = _served(work, system, asked[1], "before")
    tuned = _tuned(work, settings, train, held_out)
    with searched(replace(work, configure=_with_adapter(work))) as system:
        after = _served(work, system, asked[1], "after")
    served = {name: _compared(before, after, name, work.order.seed) for name in SERVED}
    told = {f"{name}_{when}": served[name][when] for name in SERVED for when in ("before", "after")}
    return _figures(work, settings, tuned) | {
        "split": "two halves by a hash of the question",
        **told,
        "served": served,
        **_verdict(served["answer_contained"], "answers with the fact", f"{len(before)} questions"),
    }


def golden_cases(data: Path) -> list[GoldenCase] | None:
    """The cases that documents answer, where `data` is a golden set or a folder with one; `None` where it has conversations.

    Raises:
        InvalidRequest: a line of the golden set is none.
    """
    from observability.evaluation.golden_set import load_golden

    file = data / "golden.jsonl" if data.is_dir() else data
    if data.is_file():
        try:
            with file.open(encoding="utf-8-sig") as lines:
                first = json.loads(next((line for line in lines if line.strip()), "{}"))
        except (OSError, ValueError):
            return None  # whoever reads it says what is wrong
        if not isinstance(first, dict) or "question" not in first:
            return None
    return [case for case in load_golden(file) if case.answerable and case.expected_strings and case.tool is None]


def _base(settings: Settings) -> tuple[Path, str]:
    """The weights in use and their name. An adapter that is in use already is not gone on with."""
    from models import weights
    from serving.settings import context_of

    used = settings.models.chat
    if used.use != "llama_cpp":
        raise InvalidRequest(
            f'[models.chat] use = "{used.use}" has no weights here that could be trained. Name "llama_cpp", with the path of '
            f"a GGUF file or without one for the bundled model; a model on a server is tuned where it is served."
        )
    if path := used.options.get("path"):
        file = context_of(settings).stack_dir / path
        return weights.verify(file, used.options.get("sha256")), file.stem
    return weights.SMOLLM2.verify(), weights.SMOLLM2.name


def _halves(cases: Sequence[GoldenCase]) -> tuple[list[GoldenCase], list[GoldenCase]]:
    """(to train on, held out), as for the other parts."""
    from lab.finetune.held_out import Query, halves

    split = halves([Query(case.id, case.question, case.scope, {}) for case in cases])
    trained = {query.query_id for query in split.train}
    return [case for case in cases if case.id in trained], [case for case in cases if case.id not in trained]


def _examples(work: Work, system: System, cases: Sequence[GoldenCase]) -> list[Example]:
    """Of the questions whose evidence holds the fact."""
    from lab.finetune.golden_replies import examples
    from orchestration.answers.quotes import evidence_of

    given = system.settings.orchestration.answers

    def evidence(case: GoldenCase) -> list[Evidence]:
        hits = system.retriever.retrieve(
            case.question, case.scope, limit=given.evidence_documents, per_document=given.passages_per_document
        )
        return evidence_of(case.question, hits, system.retrieval.grounding)

    found = []
    for done, (_, example) in enumerate(examples(cases, evidence), 1):
        work.progress("examples", done, len(cases))
        found.append(example)
    made = [example for example in found if example]
    if not made:
        raise InvalidRequest(
            f"Of {len(cases)} golden questions there is none whose evidence holds the answer. Ingest the documents that they "
            f"are about, or name them as `make documents` does."
        )
    return made


def _tuned(work: Work, settings: Settings, train: Sequence[Example], held_out: Sequence[Example]) -> Tuned:
    from lab.tuning import chat

    base, name = _base(settings)
    return chat.finetune(
        train,
        held_out,
        base=base,
        to=_adapter(work.new),
        name=name,
        epochs=work.order.epochs or EPOCHS,
        seed=work.order.seed,
        threads=settings.foundation.threads,
        progress=work.progress,
    )


def _adapter(folder: Path) -> Path:
    return folder / f"{folder.name}.gguf"


def _with_adapter(work: Work) -> Any:
    def configured(overrides: dict[str, object]) -> Loaded:
        # without the pin, which is that of the adapter in use
        chat = {"adapter": str(_adapter(work.new).resolve()), "adapter_sha256": None}
        return work.configure({**overrides, "models": {"chat": chat}})

    return configured


def _served(work: Work, system: System, cases: Sequence[GoldenCase], what: str) -> list[CaseScore]:
    """The questions through the system's own path, written by the model and checked by the gate."""
    from observability.evaluation.golden_set import evaluate_golden

    async def answer(case: GoldenCase) -> Answer:
        person = Principal(GOLDEN_SET, case.tenant, frozenset({"agent"}), frozenset(case.groups))
        request = AnswerRequest(question=case.question, compose="generative")
        return await answering.answer(system.agent, request, person)

    def counted(done: int) -> None:
        work.progress(f"ask {what}", done, len(cases))

    return list(asyncio.run(evaluate_golden(cases, answer, progress=counted)).rows)


def _compared(before: Sequence[CaseScore], after: Sequence[CaseScore], name: str, seed: int) -> dict[str, Any]:
    pairs = [(_value(was, name), _value(now, name)) for was, now in zip(before, after, strict=True)]
    return {
        "before": sum(was for was, _ in pairs) / len(pairs),
        "after": sum(now for _, now in pairs) / len(pairs),
        **_gain([now - was for was, now in pairs], seed),
    }


def _value(row: CaseScore, name: str) -> float:
    return float(row.status == "answered") if name == "answered" else row.measures.get(name, 0.0)


def _gain(differences: Sequence[float], seed: int) -> dict[str, Any]:
    """The mean with its 95 % interval from a paired bootstrap."""
    from observability.evaluation import metrics

    found = metrics.estimate(differences, seed=seed, share=False)
    return {"gain": found.mean or 0.0, "low": found.low or 0.0, "high": found.high or 0.0, "n": found.n}


def _verdict(gain: dict[str, Any], of: str, on: str) -> dict[str, str]:
    verdict = "better" if gain["low"] > 0 else "worse" if gain["high"] < 0 else "no difference shown"
    interval = f"{gain['gain']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
    return {"verdict": verdict, "told": f"{interval} {of}, on {on} that it was not trained on."}


def _figures(work: Work, settings: Settings, tuned: Tuned) -> dict[str, Any]:
    figures, used = asdict(tuned), settings.models.chat
    pinned = {"adapter": work.name_in_stack(_adapter(work.order.to)), "adapter_sha256": tuned.adapter_sha256}
    was, now, tokens = zip(*figures.pop("held_out"), strict=True)
    return figures | {
        "losses": {"before": was, "after": now, "tokens": tokens},
        "stack": {"models.chat": {**used.options, "use": used.use, **pinned}},
    }

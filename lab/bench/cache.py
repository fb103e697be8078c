"""What the answer cache saves, and how often it gives the answer to another question, on a replayed log.

The log is made of a folder's `qa.jsonl`: all questions of a few documents, which are as near to each other as questions get,
each asked one to four times, again as it was or said in another way, in random order. The ways are mechanical; people vary
more, so the hit rate here is a figure of this log, and the false hits are the figure to look at.
"""

from __future__ import annotations

import random
import re
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from extensions.datasets.reading import CorpusDocument, Question, items_of, read_questions
from foundation.errors import InvalidRequest, SixplyError
from observability.evaluation import metrics
from orchestration.events import Answer

__all__ = ["Asked", "Told", "figures", "items_of", "question_log", "replay"]

Way = Literal["first", "repeat", "paraphrase"]
_LEADS = ("Please tell me: {}", "Can you tell me {}", "I would like to know: {}", "{} Thanks.", "One question: {}")
_TURNS = (
    (r"^What is ", "What's "),
    (r"^How many ", "What number of "),
    (r"^How much ", "What amount of "),
    (r"^What year ", "Which year "),
    (r"^In what ", "In which "),
    (r"^What (kind|type|sort) of ", r"Which \1 of "),
    (r" located\?$", "?"),
    (r"^Who was ", "Which person was "),
    (r"^What are ", "Which are "),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A line of the log."""

    question: Question
    text: str
    way: Way


@dataclass(frozen=True, slots=True)
class Told:
    """What came of it; `None` where it failed."""

    answer: Answer | None
    ms: float


def question_log(data: Path, *, limit: int, seed: int) -> tuple[list[Asked], list[CorpusDocument]]:
    """A log of `limit` different questions, and the documents to ask them of.

    Raises:
        InvalidRequest: the folder is not in the format, or has no question that can be answered.
    """
    questions, corpus = read_questions(data)
    chance = random.Random(seed)
    by_document: defaultdict[str, list[Question]] = defaultdict(list)
    for question in questions:
        if question.answerable and question.answers and not question.history:
            by_document[question.documents[0] if question.documents else ""].append(question)
    if not by_document:
        raise InvalidRequest(f"{data} has no question with an answer to compare with.")
    documents = sorted(by_document)
    chance.shuffle(documents)
    chosen = [question for document in documents for question in by_document[document]][:limit]
    log = [Asked(question, question.question, "first") for question in chosen]
    for question in chosen:
        for _ in range(chance.choice((0, 1, 2, 3))):
            way: Way = chance.choice(("repeat", "paraphrase"))
            said = _again(question.question, chance) if way == "repeat" else _otherwise(question.question, chance)
            log.append(Asked(question, said, way))
    chance.shuffle(log)
    return log, list(corpus)


def _again(text: str, chance: random.Random) -> str:
    """The same words as people type them twice."""
    return chance.choice((text, text.lower(), text.rstrip("?"), f" {text} "))


def _otherwise(text: str, chance: random.Random) -> str:
    fitting = [re.sub(pattern, instead, text) for pattern, instead in _TURNS if re.search(pattern, text)]
    lead = chance.choice(_LEADS)
    inside = text[:1].lower() + text[1:] if not lead.startswith("{") else text
    return chance.choice([*fitting, lead.format(inside)])


async def replay(
    log: Sequence[Asked],
    systems: Sequence[Callable[[str], Awaitable[Answer]]],
    count: Callable[[int], None] | None = None,
) -> list[list[Told]]:
    """Each line to all systems, one after the other and in changing order, before the next line: what is timed is neither
    waiting for others nor a machine that was busier in one half of the run.
    """
    told: list[list[Told]] = [[] for _ in systems]
    for done, line in enumerate(log, start=1):
        for place in range(len(systems))[:: 1 if done % 2 else -1]:
            told[place].append(await _told(systems[place], line.text))
        if count:
            count(done)
    return told


async def _told(ask: Callable[[str], Awaitable[Answer]], text: str) -> Told:
    begun = time.perf_counter()
    try:
        answer: Answer | None = await ask(text)
    except SixplyError:
        answer = None
    return Told(answer, (time.perf_counter() - begun) * 1000)


def figures(log: Sequence[Asked], *, made: Sequence[Told], cached: Sequence[Told]) -> dict[str, Any]:
    """`made`: the log without the cache, `cached`: with it.

    A *wrong* hit gives the answer to another question. It is a *false* hit where that answer lacks what was asked for while
    the answer that was made without the cache has it.
    """
    first = {
        one.answer.answer_id: line
        for line, one in zip(log, cached, strict=True)
        if one.answer and not one.answer.cached
    }
    hits = [
        (line, plain, one)
        for line, plain, one in zip(log, made, cached, strict=True)
        if one.answer and one.answer.cached
    ]
    wrong = [hit for hit in hits if _origin(hit[2], first) is not hit[0].question]
    false = [hit for hit in wrong if _right(hit[0], hit[1]) and not _right(hit[0], hit[2])]
    kinds = [one.answer.cached for _, _, one in hits if one.answer]
    ways = {
        way: [one for line, one in zip(log, cached, strict=True) if line.way == way] for way in ("repeat", "paraphrase")
    }
    fresh_ms = [one.ms for one in cached if not (one.answer and one.answer.cached)]
    return {
        "questions": len({line.question.question_id for line in log}),
        "asked": len(log),
        "hits": len(hits),
        "hit_rate": len(hits) / len(log),
        "exact_hits": kinds.count("exact"),
        "semantic_hits": kinds.count("semantic"),
        **{f"{way}_hit_rate": _share([bool(one.answer and one.answer.cached) for one in found]) for way, found in ways.items()},
        "wrong_hits": len(wrong),
        "false_hits": len(false),
        "false_hit_rate": _share([hit in false for hit in hits]),
        "answer_contained_off": _share([_right(line, one) for line, one in zip(log, made, strict=True)]),
        "answer_contained_on": _share([_right(line, one) for line, one in zip(log, cached, strict=True)]),
        "made_p50_ms": _quantile(fresh_ms, 0.5),
        "hit_p50_ms": _quantile([one.ms for *_, one in hits], 0.5),
        "hit_p95_ms": _quantile([one.ms for *_, one in hits], 0.95),
        "seconds_off": sum(one.ms for one in made) / 1000,
        "seconds_on": sum(one.ms for one in cached) / 1000,
        "usd_off": _usd(made),
        "usd_on": _usd(cached),
        "rows": [
            {"asked": line.text, "question": line.question.question, "given_for": _asked_first(one, first),
             "right_off": _right(line, plain), "right_on": _right(line, one)}
            for line, plain, one in wrong
        ],
    }  # fmt: skip


def _origin(told: Told, first: dict[str, Asked]) -> Question | None:
    line = first.get((told.answer.first_answer_id or "") if told.answer else "")
    return line.question if line else None


def _asked_first(told: Told, first: dict[str, Asked]) -> str:
    origin = _origin(told, first)
    return origin.question if origin else ""


def _right(line: Asked, told: Told) -> bool:
    if told.answer is None or told.answer.status != "answered":
        return False
    said = metrics.without_markers(told.answer.text, (citation.marker for citation in told.answer.citations))
    return metrics.contains(said, line.question.answers)


def _usd(told: Sequence[Told]) -> float | None:
    """`None` where an answer has no known price."""
    known = [one.answer.cost_usd for one in told if one.answer]
    return None if any(usd is None for usd in known) else float(sum(usd for usd in known if usd is not None))


def _share(held: Sequence[bool]) -> float | None:
    return float(np.mean(held)) if held else None


def _quantile(values: Sequence[float], at: float) -> float | None:
    return float(np.quantile(values, at)) if values else None

"""Measure a judge's agreement with people on `human_judgements.jsonl`: `task_id`, `response`, and in `human` a mark from 1 to 4,
or a list of marks, for `faithfulness` and `completeness`; `qa.jsonl` and `corpus.jsonl` beside it have the conversations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from extensions.datasets.reading import Progress, read_questions
from extensions.judge.correction import outcomes_of
from extensions.judge.marking import MARKS, Agreement, Judge, Record, Verdict
from foundation.errors import InvalidRequest, UpstreamMalformed
from observability.evaluation.metrics import Numbers, draws
from observability.evaluation.questions import evenly, lines

JUDGED = "human_judgements.jsonl"
# Earlier turns of the conversation that the judge reads
TURNS = 4
FULL = 4
# Answers at the start without a verdict, after which it gives up: a wrong key, or a model that ignores schemas
GIVEN_UP_AFTER = 5
# Fewest tasks for an interval
FEWEST = 8


@dataclass(frozen=True, slots=True)
class Marked:
    """An answer with people's marks: for each kind of mark, one number per person."""

    task_id: str
    conversation: str
    evidence: tuple[str, ...]
    answer: str
    people: dict[str, tuple[float, ...]]

    def median(self, name: str) -> float:
        return float(np.median(self.people[name]))


async def agreement(
    answers: Sequence[Marked], judge: Judge, *, data: str, at: str, progress: Progress | None = None, seed: int = 7
) -> tuple[Record, list[dict[str, Any]]]:
    """Return the judge's record, and a row for each answer. Raises UpstreamMalformed: the first got no verdict."""
    verdicts: list[Verdict | None] = []
    for done, marked in enumerate(answers, 1):
        verdicts.append(await judge.verdict(marked.conversation, marked.evidence, marked.answer))
        if progress:
            progress("judge", done, len(answers))
        if done == min(GIVEN_UP_AFTER, len(answers)) and not any(verdicts):
            raise UpstreamMalformed(f"{judge.model} gave no verdict for any of {done} answers. {judge.last_failure}")
    valid = [(marked, verdict) for marked, verdict in zip(answers, verdicts, strict=True) if verdict is not None]
    record = Record(
        model=judge.model,
        rubric=judge.rubric,
        data=data,
        n=len(answers),
        valid=len(valid) / len(answers),
        marks={name: _agreement(name, valid, seed) for name in MARKS},
        measured_at=at,
        made_of=judge.made_of,
        answered_as=tuple(sorted(judge.answered_as)),
    )
    rows = [
        {
            "task_id": marked.task_id,
            "people": {name: marked.median(name) for name in MARKS},
            "judge": None if verdict is None else verdict.model_dump(),
        }
        for marked, verdict in zip(answers, verdicts, strict=True)
    ]
    return record, rows


def _agreement(name: str, valid: Sequence[tuple[Marked, Verdict]], seed: int) -> Agreement:
    people = np.array([marked.median(name) for marked, _ in valid])
    judged = np.array([float(getattr(verdict, name)) for _, verdict in valid])
    low, high = _interval([marked.task_id for marked, _ in valid], judged, people, seed)
    pairs = [pair for marked, _ in valid for pair in permutations(marked.people[name], 2)]
    return Agreement(
        kappa=weighted_kappa(judged, people),
        low=low,
        high=high,
        exact=float(np.mean(judged == people)),
        people=weighted_kappa(*np.array(pairs).T) if pairs else None,
        outcomes=outcomes_of(judged.tolist(), people.tolist()),
    )


def _interval(tasks: Sequence[str], judged: Numbers, people: Numbers, seed: int) -> tuple[float, float]:
    # whole tasks are drawn, not answers: answers to one question are dependent
    _, of = np.unique(np.array(tasks), return_inverse=True)
    groups = [np.flatnonzero(of == number) for number in range(of.max() + 1)]
    if len(groups) < FEWEST:
        return -1.0, 1.0
    samples = (np.concatenate([groups[at] for at in row]) for block in draws(len(groups), seed=seed) for row in block)
    # undefined kappas count as 0
    drawn = [weighted_kappa(judged[rows], people[rows]) or 0.0 for rows in samples]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def read_marked(data: Path, limit: int | None = None) -> list[Marked]:
    """Read the marked answers of a folder, sampled evenly where there are more than `limit`.
    Raises InvalidRequest: the folder or a line is malformed.
    """
    questions, corpus = read_questions(data)
    by_id = {question.question_id: question for question in questions}
    texts = {document.document_id: f"{document.title}\n{document.text}".strip() for document in corpus}
    path, marked = data / JUDGED, []
    for number, row in lines(path):
        try:
            question = by_id[row["task_id"]]
            turns = [*question.history[-TURNS:], ("user", question.question)]
            marked.append(
                Marked(
                    task_id=question.question_id,
                    conversation="\n".join(f"{role}: {text}" for role, text in turns),
                    evidence=tuple(texts[document_id] for document_id in question.documents if document_id in texts),
                    answer=str(row["response"]),
                    people={name: _marks(row["human"][name]) for name in MARKS},
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidRequest(f"{path} line {number} is no judgement: {error!r}. Correct it.") from error
    if not marked:
        raise InvalidRequest(f"{path} has no judgement. See docs/measuring.md for the format.")
    return evenly(marked, limit)


def _marks(value: Any) -> tuple[float, ...]:
    marks = tuple(map(float, value if isinstance(value, list) else [value]))
    if not marks or not all(1 <= mark <= FULL for mark in marks):
        raise ValueError(f"{value!r} is no mark from 1 to {FULL}")
    return marks


def weighted_kappa(ours: Numbers, theirs: Numbers) -> float | None:
    """Return Cohen's kappa with quadratic weights (Cohen 1968) of two series of marks: 1 is agreement, 0 is chance.

    Marks between the steps of the scale, such as medians, are fine. `None` where neither series varies.

    >>> weighted_kappa(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 4.0]))
    1.0
    """
    by_chance = ours.var() + theirs.var() + (ours.mean() - theirs.mean()) ** 2
    # 1 - mean((ours - theirs)²) / by_chance, shortened
    together = np.mean((ours - ours.mean()) * (theirs - theirs.mean()))
    return float(2 * together / by_chance) if by_chance else None

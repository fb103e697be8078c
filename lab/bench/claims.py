"""Measures the check of written answers: true ones should be shown unmarked, false ones with a mark.

Answers come from folders: reference answers (`qa.jsonl` beside `corpus.jsonl`), claims that people found supported
(`claims.jsonl` with `supporting_sets`) and answers that people gave full marks (`human_judgements.jsonl`). False ones are
made of the true ones by the rules of `unfaithful`, in turns, or are the answer of another question. The even ones are for
development, the odd ones for the report.
"""

from __future__ import annotations

import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from extensions.claims.checking import Passage
from extensions.claims.claim import Claim
from extensions.datasets.reading import Progress, read_questions
from foundation.errors import InvalidRequest
from foundation.text.sentences import sentence_spans
from lab.bench.unfaithful import RULES
from observability.evaluation import metrics
from observability.evaluation.questions import evenly, lines

PASSAGES = 8
PAGE_PART = 10
"""Sentences of a page that one passage holds."""
SHORT_ANSWER = 40
"""Characters below which an answer is a mere span: then the sentence of the passage that holds it is an answer too."""
_COMMAS, _STOPS = ",\uff0c", ".\u3002"
_CLAUSE = re.compile(r"(?<=,) |(?<=\uff0c)")
FULL_MARKS = 4.0
OTHER = "other_answer"

Check = Callable[..., Sequence[Claim]]
"""`check_answer` with its grounding."""


@dataclass(frozen=True, slots=True)
class Case:
    """An answer and what its writer was shown. `kind`: of whom it is, or the rule that made it false."""

    data: str
    kind: str
    faithful: bool
    answer: str
    passages: tuple[Passage, ...]
    question: str = ""
    known: tuple[str, ...] = ()
    group: int = 0
    """Cases of one group are on the same half."""


def bench_claims(
    folders: Sequence[Path],
    check: Check,
    *,
    limit: int | None = None,
    half: str = "report",
    progress: Progress | None = None,
    seed: int = 7,
) -> dict[str, Any]:
    """Shares of true answers without any mark and of false ones with one, by folder and by rule, with Wilson's intervals.

    Of each folder `limit` true answers are taken, and as many false ones made of them. `half` is `development`, `report`
    or `all`.

    Raises:
        InvalidRequest: a folder or one of its lines is not in the format.
    """
    cases = [case for folder in folders for case in read_cases(folder, limit=limit, half=half, seed=seed)]
    rows = []
    for done, case in enumerate(cases, 1):
        begun = time.perf_counter()
        claims = check(case.answer, case.passages, known=case.known, question=case.question)
        rows.append(_row(case, claims, (time.perf_counter() - begun) * 1000))
        if progress:
            progress("claims", done, len(cases))
    return {**_shares(rows), "half": half, "data": [folder.name for folder in folders], "rows": rows}


def _row(case: Case, claims: Sequence[Claim], milliseconds: float) -> dict[str, Any]:
    return {
        "data": case.data,
        "kind": case.kind,
        "faithful": case.faithful,
        "marked": any(claim.finding for claim in claims),
        "findings": [(claim.finding, claim.detail, claim.text) for claim in claims if claim.finding],
        "claims": len(claims),
        "ms": milliseconds,
        "question": case.question,
        "answer": case.answer,
    }


def _shares(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    groups: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        right = float(row["marked"] != row["faithful"])
        side = "faithful_unmarked" if row["faithful"] else "unfaithful_marked"
        if not row["kind"].startswith("human"):
            groups[side].append(right)
        groups[f"{side} {row['data']}"].append(right)
        groups[f"{side} {row['kind']}"].append(right)
    shares = {name: metrics.estimate(flags) for name, flags in sorted(groups.items())}
    times = [row["ms"] for row in rows]
    return {
        **{name: share.mean for name, share in shares.items()},
        "intervals_95": {name: [share.low, share.high] for name, share in shares.items()},
        "n": {name: share.n for name, share in shares.items()},
        "ms_p50": float(np.percentile(times, 50)) if times else None,
        "ms_p95": float(np.percentile(times, 95)) if times else None,
        "claims_per_answer": float(np.mean([row["claims"] for row in rows])) if rows else None,
    }


# -- cases -------------------------------------------------------------------------------------------------------------


def read_cases(folder: Path, *, limit: int | None = None, half: str = "all", seed: int = 7) -> list[Case]:
    """The true answers of a folder and false ones made of them; of answers that people judged no false ones are made.
    Raises InvalidRequest.
    """
    if (folder / "human_judgements.jsonl").exists():
        faithful = list(_judged_answers(folder))
    elif (folder / "claims.jsonl").exists():
        faithful = list(_supported_claims(folder))
    else:
        faithful = list(_reference_answers(folder, seed))
    if not faithful:
        raise InvalidRequest(
            f"{folder} has no answer that people found true. See lab/notes/benchmarks.md for the formats."
        )
    if half != "all":
        faithful = [case for case in faithful if case.group % 2 == (half == "report")]
    chosen = evenly(faithful, limit)
    return [*chosen, *_unfaithful([case for case in chosen if not case.kind.startswith("human")], seed)]


def _unfaithful(cases: Sequence[Case], seed: int) -> Iterator[Case]:
    chance = random.Random(seed)
    rules = [*RULES, OTHER]
    for place, case in enumerate(cases):
        evidence = " ".join(passage.text for passage in case.passages if f"[{passage.number}]" in case.answer)
        others = [cases[(place + step) % len(cases)].answer for step in range(1, 40)]
        for turn in range(len(rules)):
            rule = rules[(place + turn) % len(rules)]
            changed = (
                _of_another(case, cases, place) if rule == OTHER else RULES[rule](case.answer, evidence, others, chance)
            )
            if changed and changed != case.answer:
                yield replace(case, kind=rule, faithful=False, answer=changed)
                break


def _of_another(case: Case, cases: Sequence[Case], place: int) -> str:
    """The answer to a question of other passages, with the markers of this one."""
    markers = "".join(re.findall(r"\[\d+\]", case.answer)[:1])
    shown = {passage.text for passage in case.passages if f"[{passage.number}]" in case.answer}
    for step in range(len(cases) // 2, len(cases)):
        other = cases[(place + step) % len(cases)]
        if not shown & {passage.text for passage in other.passages if f"[{passage.number}]" in other.answer}:
            return re.sub(r"(?: ?\[\d+\])+", f" {markers}", other.answer)
    return ""


def _cite(text: str, numbers: Sequence[int]) -> str:
    """The text with the markers at the end of each sentence."""
    markers = "".join(f"[{number}]" for number in numbers)
    return " ".join(f"{text[start:end]} {markers}" for start, end in sentence_spans(text))


def _reference_answers(folder: Path, seed: int) -> Iterator[Case]:
    questions, corpus = read_questions(folder)
    texts = {document.document_id: document for document in corpus}
    chance, group = random.Random(seed), -1
    for question in questions:
        cited = [key for key in question.documents if key in texts]
        if not question.answerable or not cited:
            continue
        rest = chance.sample(sorted(texts.keys() - set(cited)), min(len(texts) - len(cited), PASSAGES - len(cited)))
        passages = tuple(
            Passage(number, texts[key].text, texts[key].title, key) for number, key in enumerate([*cited, *rest], 1)
        )
        numbers = range(1, len(cited) + 1)
        for answer in dict.fromkeys(question.answers[:2]):
            group += 1
            yield Case(folder.name, "reference", True, _cite(answer, numbers), passages, question.question, group=group)
        if len(question.answers[0]) < SHORT_ANSWER and (
            sentence := _sentence_with(question.answers[0], passages[0].text)
        ):
            yield Case(
                folder.name, "sentence", True, _cite(sentence, numbers), passages, question.question, group=group
            )


def _sentence_with(answer: str, text: str) -> str:
    """The sentence that holds the answer; of one with more than two clauses those that hold it, so that it is no mere quote."""
    sentence = next((text[start:end] for start, end in sentence_spans(text) if answer in text[start:end]), "")
    clauses = _CLAUSE.split(sentence.rstrip(_STOPS))
    kept = [clause for clause in clauses if answer in clause] if len(clauses) > 2 else clauses
    return f"{' '.join(kept).rstrip(_COMMAS)}{sentence[-1:]}" if sentence else ""


def _supported_claims(folder: Path) -> Iterator[Case]:
    rows = [row for _, row in lines(folder / "claims.jsonl")]
    supported = [row for row in rows if row.get("label") == "SUPPORTED" and row.get("supporting_sets")]
    for group, row in enumerate(supported):
        sentences, support = row["evidence_sentences"], row["supporting_sets"][0]
        parts = [" ".join(sentences[at : at + PAGE_PART]) for at in range(0, len(sentences), PAGE_PART)]
        holding = list(dict.fromkeys(place // PAGE_PART for place in support))
        shown = list(dict.fromkeys([*holding, *range(len(parts))]))[: max(PASSAGES, len(holding))]
        headings = f"{' '.join(sentences[:2])[:300]} {str(row.get('context_before_claim') or '')[-600:]}"
        passages = tuple(Passage(number, parts[place], headings, str(group)) for number, place in enumerate(shown, 1))
        markers = "".join(f"[{number}]" for number in range(1, len(holding) + 1))
        yield Case(folder.name, "supported", True, f"{row['claim']} {markers}", passages, group=group)


def _judged_answers(folder: Path) -> Iterator[Case]:
    questions, corpus = read_questions(folder)
    texts = {document.document_id: document for document in corpus}
    by_id = {question.question_id: question for question in questions}
    group = -1
    for _, row in lines(folder / "human_judgements.jsonl"):
        question = by_id.get(row["task_id"])
        if question is None or not question.documents or row["human"]["faithfulness"] < FULL_MARKS:
            continue
        documents = [texts[key] for key in question.documents if key in texts]
        passages = tuple(
            Passage(number, one.text, one.title, one.document_id) for number, one in enumerate(documents, 1)
        )
        known = tuple(content for _, content in question.history)
        group += 1
        yield Case(folder.name, "human_full_marks", True, row["response"], passages, question.question, known, group)

"""Measures who says what a statement means: of false statements the share that is marked, and of true ones.

A file of passages has `passage` and `statements` (`says`, `kind`; `reworded` is true, every other kind false); all its statements are
one answer, as a model would give them. A folder of claims (`lab/bench/verify.py`) is an answer of one statement each: PARTIAL claims
and marks between 2 and 4 are neither true nor false and are left out.
"""

from __future__ import annotations

import functools
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extensions.claims.checking import find_unsupported
from extensions.claims.settings import ClaimsSettings
from extensions.datasets.reading import Progress
from extensions.judge.judging import JudgeCheck
from extensions.judge.settings import JudgeSettings
from foundation.errors import ComponentError, InvalidRequest
from foundation.types import EVERY_TENANT
from lab.bench.verify import FAITHFUL, UNFAITHFUL, Claim, read_claims
from observability.evaluation import metrics
from observability.evaluation.questions import evenly, lines
from orchestration.contract import AnswerCheck, WrittenAnswer
from retrieval.documents import Chunk, Hit, Source
from retrieval.grounding.checks import Finding, check_answer, split_statements
from retrieval.grounding.evidence import Grounding
from serving.wiring import System

OURS = Path(__file__).with_name("statements.jsonl")
TRUE = "reworded"
# Sentences of a page that are one passage
PAGE_PART = 10

Check = Callable[[WrittenAnswer], Sequence[Finding]]
"""One that is open: an `AnswerCheck` with its grounding."""


@dataclass(frozen=True, slots=True)
class Statement:
    says: str
    kind: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Case:
    """An answer of one statement a paragraph, and the passages that its writer was shown."""

    data: str
    passages: tuple[str, ...]
    statements: tuple[Statement, ...]

    @property
    def spans(self) -> list[tuple[int, int]]:
        ends, at = [], 0
        for statement in self.statements:
            ends.append((at, at + len(statement.says)))
            at += len(statement.says) + 2
        return ends

    def written(self, chat: Any) -> WrittenAnswer:
        text = "\n\n".join(statement.says for statement in self.statements)
        hits = {number: _hit(number, passage) for number, passage in enumerate(self.passages, 1)}
        return WrittenAnswer(text=text, passages=hits, known=[], question="", acted=False, chat=chat)


def _hit(number: int, passage: str) -> Hit:
    chunk = Chunk(chunk_id=f"c{number}", document_id="d", position=number, text=passage, start=0, end=len(passage))
    return Hit(chunk=chunk, score=1.0, source=Source(uri="passage", tenant=EVERY_TENANT))


def bench_meaning(
    cases: Sequence[Case], check: Check, chat: Any, *, progress: Progress | None = None
) -> dict[str, Any]:
    """Return the shares of false and of true statements that are marked, by data and by kind, with Wilson's intervals.

    An answer that could not be judged marks nothing, and is counted in `without_verdict`, by the
    code of the error.
    """
    rows, failed = [], Counter[str]()
    for done, case in enumerate(cases, 1):
        try:
            found = check(case.written(chat))
        except ComponentError as error:
            found = ()
            failed[error.code] += 1
        for statement, (start, end) in zip(case.statements, case.spans, strict=True):
            reasons = [f"{it.reason}: {it.detail}" for it in found if it.start < end and start < it.end]
            rows.append(_row(case, statement, reasons))
        if progress:
            progress("judge", done, len(cases))
    return {**_shares(rows), "answers": len(cases), "without_verdict": dict(failed), "rows": rows}


def _row(case: Case, statement: Statement, reasons: Sequence[str]) -> dict[str, Any]:
    said = {"data": case.data, "kind": statement.kind, "holds": statement.holds, "says": statement.says}
    return said | {"marked": bool(reasons), "reasons": [*reasons]}


def _shares(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    groups: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        side = "true_marked" if row["holds"] else "false_marked"
        for name in (side, f"{side} {row['data']}", f"{side} {row['data']} {row['kind']}"):
            groups[name].append(float(row["marked"]))
    shares = {name: metrics.estimate(flags) for name, flags in sorted(groups.items())}
    return {
        **{name: share.mean for name, share in shares.items()},
        "intervals_95": {name: [share.low, share.high] for name, share in shares.items()},
        "n": {name: share.n for name, share in shares.items()},
    }


def known_alone(answer: WrittenAnswer) -> Sequence[Finding]:
    """Check what is always checked: markers, quotations, figures and identifiers."""
    texts = {number: hit.chunk.text for number, hit in answer.passages.items()}
    return check_answer(answer.text, texts, answer.known).findings


def open_check(by: str, system: System) -> Check:
    """Return `known`, `entailment`, or the check of the extension `claims` or `judge`, with the system's settings."""
    if by == "known":
        return known_alone
    if by == "entailment":
        return functools.partial(_doubt, system.retrieval.grounding)
    checks: dict[str, AnswerCheck] = {
        "claims": functools.partial(find_unsupported, system.settings.section(ClaimsSettings)),
        "judge": JudgeCheck.of(system.settings.section(JudgeSettings)),
    }
    return functools.partial(checks[by], grounding=system.retrieval.grounding)


def _doubt(grounding: Grounding, answer: WrittenAnswer) -> list[Finding]:
    """Mark the statements with a support by the part of [models.entailment] below `[retrieval.grounding] min_support`."""
    spans = list(split_statements(answer.text))
    premise = "\n\n".join(hit.chunk.text for hit in answer.passages.values())
    supports = grounding.judge.support([(premise, answer.text[start:end]) for start, end in spans])
    least = grounding.settings.min_support
    return [
        Finding(*span, "unsupported", f"{support:.3f}")
        for span, support in zip(spans, supports, strict=True)
        if support < least
    ]


# -- reading -----------------------------------------------------------------------------------------------------------


def read_cases(data: Path, *, limit: int | None = None, seed: int = 7) -> list[Case]:
    """Return the cases of a file of passages or of a folder of claims, spread over it where there are more than `limit`.
    Raises InvalidRequest.
    """
    if data.is_file():
        return evenly(_read_passages(data, random.Random(seed)), limit)
    judged = [claim for claim in read_claims(data) if claim.quotes and not _is_between(claim)]
    return evenly([_of_claim(data.name, claim) for claim in judged], limit)


def _read_passages(path: Path, chance: random.Random) -> list[Case]:
    cases = []
    for number, row in lines(path):
        try:
            said = [Statement(it["says"], it["kind"], it["kind"] == TRUE) for it in row["statements"]]
            # the true ones do not stand together
            chance.shuffle(said)
            cases.append(Case(path.stem, (row["passage"],), tuple(said)))
        except (KeyError, TypeError) as error:
            raise InvalidRequest(
                f"{path} line {number} has no passage with statements: {error!r}. Correct it."
            ) from error
    return cases


def _is_between(claim: Claim) -> bool:
    return claim.label == "PARTIAL" if claim.mark is None else UNFAITHFUL < claim.mark < FAITHFUL


def _of_claim(name: str, claim: Claim) -> Case:
    parts = [" ".join(claim.quotes[at : at + PAGE_PART]) for at in range(0, len(claim.quotes), PAGE_PART)]
    kind = claim.label.lower().replace(" ", "_")
    return Case(name, tuple(parts), (Statement(" ".join(claim.text.split()), kind, claim.holds),))

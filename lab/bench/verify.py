"""Measures `verify` on claims that people have judged, and trains its judge on others.

A folder of claims has `claims.jsonl` (`claims_dev.jsonl` where there is none): `claim`, `label` (SUPPORTED or anything
else), and `evidence_sentences`, or `doc_ids` beside a `corpus.jsonl`. A folder of answers judged by people has
`human_judgements.jsonl` (`task_id`, `response`, `human.faithfulness`) beside `qa.jsonl` and `corpus.jsonl`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from extensions.calibration.curves import auc, fit_logistic
from extensions.datasets.reading import Progress, read_corpus
from foundation.errors import InvalidRequest
from foundation.text.sentences import sentence_spans
from models.scoring.logistic import LogisticCurve
from observability.evaluation.questions import evenly, lines

JUDGED = "human_judgements.jsonl"
FAITHFUL, UNFAITHFUL = 4.0, 2.0
"""Of the marks 1 to 4 that people give: from the one on all of it holds, up to the other much of it does not."""


Support = Callable[[Sequence[str], Sequence[str]], Sequence[float]]
"""`Grounding.support`."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A text, what it rests on, and what people said of it."""

    text: str
    quotes: tuple[str, ...]
    label: str
    mark: float | None = None
    """Of a judged answer: 1 to 4."""

    @property
    def holds(self) -> bool:
        return self.label == "SUPPORTED" if self.mark is None else self.mark >= FAITHFUL

    @property
    def sentences(self) -> list[str]:
        """A claim is one sentence, however it is written."""
        if self.mark is None:
            return [self.text]
        return [self.text[start:end] for start, end in sentence_spans(self.text)]


def bench_verify(
    data: Path,
    support: Support,
    *,
    threshold: float,
    limit: int | None = None,
    progress: Progress | None = None,
    seed: int = 7,
) -> dict[str, Any]:
    """How well the scores tell what holds from what does not.

    The score of an answer is the mean of its sentences'. Precision and recall are those of accepting what reaches
    `threshold`; `auc` is the chance that what holds scores above what does not. Answers without a document to check
    against are left out and counted.

    Raises:
        InvalidRequest: the folder or one of its lines is not in the format.
    """
    claims = read_claims(data, limit)
    asked = [claim for claim in claims if claim.quotes and claim.sentences]
    if not asked or len({claim.holds for claim in asked}) == 1:
        raise InvalidRequest(
            f"{data} has {len(asked)} claims with evidence, all of one outcome. Telling apart needs some that hold and "
            "some that do not."
        )
    scores = []
    for done, claim in enumerate(asked, 1):
        scores.append(float(np.mean(support(claim.sentences, claim.quotes))))
        if progress:
            progress("verify", done, len(asked))
    return {
        **_figures(asked, scores, threshold, seed),
        "n": len(asked),
        "n_without_evidence": len(claims) - len(asked),
        "threshold": threshold,
        "data": data.name,
        "labels": {label: _of_label(asked, scores, label, threshold) for label in sorted({c.label for c in asked})},
    }


def _figures(claims: Sequence[Claim], scores: Sequence[float], threshold: float, seed: int) -> dict[str, Any]:
    holds = [claim.holds for claim in claims]
    accepted = [score >= threshold for score in scores]
    right = sum(a and h for a, h in zip(accepted, holds, strict=True))
    area = auc(scores, holds, seed=seed)
    figures_: dict[str, Any] = {
        "auc": area.mean,
        "auc_low": area.low,
        "auc_high": area.high,
        "precision": right / sum(accepted) if any(accepted) else None,
        "recall": right / sum(holds),
        "hold_share": sum(holds) / len(holds),
    }
    bad = [
        (score, claim.mark > UNFAITHFUL) for score, claim in zip(scores, claims, strict=True) if claim.mark is not None
    ]
    if len({good for _, good in bad}) == 2:
        unfaithful = auc([score for score, _ in bad], [good for _, good in bad], seed=seed)
        figures_ |= {"auc_unfaithful": unfaithful.mean, "n_unfaithful": sum(not good for _, good in bad)}
    return figures_


def _of_label(claims: Sequence[Claim], scores: Sequence[float], label: str, threshold: float) -> dict[str, Any]:
    own = [score for claim, score in zip(claims, scores, strict=True) if claim.label == label]
    return {"n": len(own), "accepted": float(np.mean([score >= threshold for score in own]))}


# -- reading -----------------------------------------------------------------------------------------------------------


def read_claims(data: Path, limit: int | None = None) -> list[Claim]:
    """The claims of a folder, spread over the file where there are more than `limit`. Raises InvalidRequest."""
    if (data / JUDGED).exists():
        found = list(_judged(data))
    else:
        path = next((p for name in ("claims", "claims_dev") if (p := data / f"{name}.jsonl").exists()), None)
        if path is None:
            raise InvalidRequest(
                f"{data} has neither claims.jsonl, claims_dev.jsonl nor {JUDGED}. See lab/notes/benchmarks.md."
            )
        found = list(_claims(path))
    return evenly(found, limit)


def _claims(path: Path) -> Iterator[Claim]:
    corpus = _texts(path.parent)
    for number, row in lines(path):
        if not isinstance(row.get("claim"), str) or not isinstance(row.get("label"), str):
            raise InvalidRequest(
                f'{path} line {number} needs "claim" and "label". Found: {", ".join(row) or "nothing"}.'
            )
        quotes = row.get("evidence_sentences") or [corpus[one] for one in row.get("doc_ids") or () if one in corpus]
        yield Claim(row["claim"], tuple(quotes), row["label"].upper())


def _judged(data: Path) -> Iterator[Claim]:
    corpus = _texts(data)
    documents = {row.get("id"): row.get("doc_ids") or () for _, row in lines(data / "qa.jsonl")}
    for number, row in lines(data / JUDGED):
        try:
            mark = float(row["human"]["faithfulness"])
            quotes = tuple(corpus[one] for one in documents.get(row["task_id"], ()) if one in corpus)
            yield Claim(row["response"], quotes, f"mark {mark:g}", mark)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidRequest(f"{data / JUDGED} line {number} is no judgement: {error!r}. Correct it.") from error


def _texts(folder: Path) -> dict[str, str]:
    if not (folder / "corpus.jsonl").exists():
        return {}
    return {one.document_id: f"{one.title}\n{one.text}".strip() for one in read_corpus(folder)}


# -- training ----------------------------------------------------------------------------------------------------------


def train_verify(claims_file: Path, judge: Any, *, progress: Progress | None = None, seed: int = 7) -> dict[str, Any]:
    """What goes into `models/entailment/signs.json`: the curve, and what it was trained on.

    `judge` is the part `signs` of the port of entailment.

    Raises:
        InvalidRequest: the file is not in the format, or all of its claims are of one outcome. ComponentError: the
            embedder failed.
    """
    claims = [claim for claim in _claims(claims_file) if claim.quotes]
    rows, truths = [], []
    for done, claim in enumerate(claims, 1):
        (row,) = judge.signs([("\n\n".join(claim.quotes), claim.text)])
        if row is not None:
            rows.append(row)
            truths.append(claim.holds)
        if progress:
            progress("train", done, len(claims))
    if len(set(truths)) < len((True, False)):
        raise InvalidRequest(
            f"{claims_file} has {len(truths)} claims with evidence, all of one outcome. Training needs some that are "
            "supported and some that are not."
        )
    curve = fit_logistic(np.stack(rows), truths)
    record = {
        "claims": len(truths),
        "supported": sum(truths),
        "data": f"{claims_file.parent.name}/{claims_file.name}",
        "embedder": judge.embedder_name,
        "auc": round(auc([curve.score(row) for row in rows], truths, seed=seed).mean or 0.0, 3),
    }
    return {**as_stored(curve, judge.sign_names), "trained": record}


def as_stored(curve: LogisticCurve, names: Sequence[str]) -> dict[str, Any]:
    """The curve as JSON values for `LogisticCurve.of`, by the names of the signs."""
    columns = zip(names, curve.means, curve.deviations, curve.weights, strict=True)
    signs = {
        name: {"mean": round(float(m), 5), "deviation": round(float(d), 5), "weight": round(float(w), 5)}
        for name, m, d, w in columns
    }
    return {"signs": signs, "bias": round(curve.bias, 5)}

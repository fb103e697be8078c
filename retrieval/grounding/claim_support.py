"""Whether a sentence says what its quotes say: signs that can be named, weighed by a small judge.

The judge is a logistic regression on how well they match. A figure or a name that the quotes lack, and a denial, lower
what it says by a fixed share: judged claims hold too few of them to learn from, and they are the errors that read well. Its weights, `support.json`, come from `make train-verify`, which the file records;
`make bench-verify` measures them on claims that the training has not seen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from langchain_core.embeddings import Embeddings

from foundation.text.lexical import denies, figures, names, terms, words
from foundation.text.sentences import sentence_spans
from models.embedding import Vectors, embed, embed_tokens, nearest_tokens, without_marks

WEIGHTS = Path(__file__).with_name("support.json")
SIGNS = (
    "similarity",
    "matched",
    "matched_by_one",
    "least_matched",
    "coverage",
    "coverage_by_one",
    "words",
)
MOST_COMPARED = 24
"""Sentences of the quotes that one sentence is compared with: those that share most of its terms."""
_LEAST = 4
"""The worst matched quarter of a sentence's tokens is looked at by itself: what is wrong is often one word."""
_SAYS_THE_SAME = 0.6
"""Share of its terms from which a part of the quotes says nearly the same, so that a denial contradicts it."""
_LONG = 40
_WRONG, _FOREIGN = 0.5, 0.7
"""What is left of a score where a figure is unknown or something is denied, and where a name is unknown."""

Row = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Check:
    """What came of holding one sentence against its quotes."""

    score: float
    """How sure it is, from 0 to 1, that they support it."""
    unknown_figures: frozenset[str] = frozenset()
    unknown_names: frozenset[str] = frozenset()
    denied: bool = False
    """One of them says nearly the same and denies it, or the sentence denies what they say."""
    closest: str = ""
    """The sentence of the quotes that is nearest to it."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Weights of the signs, each by its mean and deviation in training."""

    means: Row
    deviations: Row
    weights: Row
    bias: float

    def score(self, row: Row) -> float:
        return float(1 / (1 + np.exp(-(self.weights @ ((row - self.means) / self.deviations) + self.bias))))

    def as_dict(self) -> dict[str, Any]:
        columns = zip(SIGNS, self.means, self.deviations, self.weights, strict=True)
        signs = {
            name: {"mean": round(float(m), 5), "deviation": round(float(d), 5), "weight": round(float(w), 5)}
            for name, m, d, w in columns
        }
        return {"signs": signs, "bias": round(self.bias, 5)}

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Judge:
        signs = [stored["signs"][name] for name in SIGNS]
        means, deviations, weights = (
            np.array([sign[key] for sign in signs]) for key in ("mean", "deviation", "weight")
        )
        return cls(means, deviations, weights, stored["bias"])


@cache
def shipped_judge() -> Judge:
    """The judge that ships."""
    return Judge.of(json.loads(WEIGHTS.read_text(encoding="utf-8")))


def fit_judge(
    rows: Row, supported: Sequence[bool], *, weights: Sequence[float] | None = None, penalty: float = 1.0
) -> Judge:
    """A judge from rows of signs and what people said: the maximum of the penalised likelihood, with both outcomes
    weighing the same however often each occurs. Within an outcome rows weigh the same, or as `weights` say."""
    from scipy.optimize import minimize

    truth = np.asarray(supported, dtype=np.float64)
    means, deviations = rows.mean(axis=0), rows.std(axis=0)
    deviations = np.where(deviations > 0, deviations, 1.0)
    columns = np.hstack([(rows - means) / deviations, np.ones((len(rows), 1))])
    row_weights = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=np.float64)
    sums = {outcome: max(float(row_weights[truth == outcome].sum()), 1e-9) for outcome in (0, 1)}
    balance = len(rows) / 2 * row_weights / np.where(truth == 1, sums[1], sums[0])

    def loss(coefficients: Row) -> tuple[float, Row]:
        logits = columns @ coefficients
        losses = np.logaddexp(0, logits) - truth * logits
        gradient = columns.T @ (balance * (1 / (1 + np.exp(-logits)) - truth))
        shrunk = np.append(coefficients[:-1], 0.0)
        return float(balance @ losses + penalty / 2 * shrunk @ shrunk), gradient + penalty * shrunk

    solution = minimize(loss, np.zeros(columns.shape[1]), jac=True, method="L-BFGS-B").x
    return Judge(means, deviations, solution[:-1], float(solution[-1]))


def check_sentences(sentences: Sequence[str], quotes: Sequence[str], embedder: Embeddings, judge: Judge) -> list[Check]:
    """Each sentence held against all the quotes together. What stands in a quote word for word is supported; a sentence
    without a word, or without quotes, is not.

    Raises:
        ComponentError: the embedder failed.
    """
    compared = compare(sentences, quotes, embedder)
    return [
        Check(0.0) if signs is None else _check(signs, 1.0 if _verbatim(sentence, quotes) else judge.score(signs.row))
        for sentence, signs in zip(sentences, compared, strict=True)
    ]


def _check(signs: Compared, score: float) -> Check:
    wrong = _WRONG if signs.unknown_figures or signs.denied else 1.0
    foreign = _FOREIGN if signs.unknown_names else 1.0
    return Check(score * wrong * foreign, signs.unknown_figures, signs.unknown_names, signs.denied, signs.closest)


@dataclass(frozen=True, slots=True)
class Compared:
    """The signs of one sentence, in the order of `SIGNS`, and what they were read from."""

    row: Row
    unknown_figures: frozenset[str]
    unknown_names: frozenset[str]
    denied: bool
    closest: str


def compare(sentences: Sequence[str], quotes: Sequence[str], embedder: Embeddings) -> list[Compared | None]:
    """The signs of every sentence; all are embedded in one call. `None`: there is nothing to compare."""
    parts = list(dict.fromkeys(quote[start:end] for quote in quotes for start, end in sentence_spans(quote)))
    terms_of_part = {part: terms(part) for part in parts}
    wanted = {s: _promising(terms(s), parts, terms_of_part) for s in sentences if words(s)} if parts else {}
    if not wanted:
        return [None] * len(sentences)
    texts = list(dict.fromkeys([*wanted, *(part for some in wanted.values() for part in some)]))
    meaning = _Meaning(texts, embedder)
    return [
        _compare_sentence(s, wanted[s], terms_of_part, " ".join(parts), meaning) if s in wanted else None
        for s in sentences
    ]


def _promising(claimed: frozenset[str], parts: Sequence[str], terms_of_part: dict[str, frozenset[str]]) -> list[str]:
    if len(parts) <= MOST_COMPARED:
        return list(parts)
    return sorted(parts, key=lambda part: -len(claimed & terms_of_part[part]))[:MOST_COMPARED]


class _Meaning:
    """Vectors of texts and of their tokens, from one call of the embedder. Where it has no vectors of tokens, those of
    the words by themselves take their place."""

    def __init__(self, texts: Sequence[str], embedder: Embeddings) -> None:
        tokens = embed_tokens(embedder, texts)
        if tokens is None:
            spelled = {text: words(text) or [text] for text in texts}
            single = list(dict.fromkeys(word for spelling in spelled.values() for word in spelling))
            vectors = embed(embedder, [*texts, *single])
            of_word = dict(zip(single, vectors[len(texts) :], strict=True))
            self.whole = dict(zip(texts, vectors, strict=False))
            self.tokens = {text: np.stack([of_word[word] for word in spelling]) for text, spelling in spelled.items()}
        else:
            self.tokens = dict(zip(texts, map(without_marks, tokens), strict=True))
            self.whole = {text: _unit(token_vectors.mean(axis=0)) for text, token_vectors in self.tokens.items()}


def _unit(vector: Vectors) -> Vectors:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def _compare_sentence(
    sentence: str, parts: Sequence[str], terms_of_part: dict[str, frozenset[str]], everything: str, meaning: _Meaning
) -> Compared:
    claimed = terms(sentence)
    similarities = np.stack([meaning.whole[part] for part in parts]) @ meaning.whole[sentence]
    nearest = nearest_tokens(meaning.tokens[sentence], [meaning.tokens[part] for part in parts])
    by_any = np.sort(nearest.max(axis=0))
    shares = [_share(claimed, terms_of_part[part]) for part in parts]
    new_figures = figures(sentence) - figures(everything)
    new_names = _unknown_names(sentence, everything)
    alike = [part for part, share in zip(parts, shares, strict=True) if share >= _SAYS_THE_SAME]
    denied = bool(alike) and all(denies(part) != denies(sentence) for part in alike)
    row = [
        float(similarities.max()),
        float(by_any.mean()),
        float(nearest.mean(axis=1).max()),
        float(by_any[: max(1, len(by_any) // _LEAST)].mean()),
        _share(claimed, frozenset().union(*(terms_of_part[part] for part in parts))),
        max(shares),
        min(len(words(sentence)), _LONG) / _LONG,
    ]
    closest = parts[int(similarities.argmax())]
    return Compared(np.array(row), new_figures, new_names, denied, closest)


def _share(wanted: frozenset[str], present: frozenset[str]) -> float:
    return len(wanted & present) / len(wanted) if wanted else 1.0


def _unknown_names(sentence: str, quotes: str) -> frozenset[str]:
    quoted_terms, lowered = terms(quotes), quotes.lower()
    return frozenset(
        name for name in names(sentence) if name.lower() not in lowered and not terms(name) <= quoted_terms
    )


def _verbatim(sentence: str, quotes: Sequence[str]) -> bool:
    claim = words(sentence)
    return any(f" {' '.join(claim)} " in f" {' '.join(words(quote))} " for quote in quotes)

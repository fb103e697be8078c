"""A judge of entailment by logistic regression over explainable signs: cosine similarity, matches of words and tokens.

`make train-verify` writes its `weights`, with how they came about; `make bench-verify` measures them on other claims.
Figures, names and denials are not among the signs: grounding looks at them around every judge
(`retrieval/grounding/claim_support.py`).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from langchain_core.embeddings import Embeddings
from pydantic import Field

from foundation.errors import WeightsInvalid
from foundation.settings import BESIDE_STACK, Section
from foundation.text.lexical import terms, words
from foundation.text.sentences import sentence_spans
from models.contract import ScoringParts
from models.embedding import Vectors, embed, embed_tokens, middle, name_of, nearest_tokens
from models.scoring.logistic import LogisticCurve, Rows

WEIGHTS = Path(__file__).with_name("signs.json")
SIGNS = ("similarity", "matched", "matched_by_one", "least_matched", "coverage", "coverage_by_one", "words")
# Most sentences of the premise that a sentence is compared with: those that share most of its terms
MOST_COMPARED = 24
# Divisor for the worst-matched part of a sentence's tokens, a sign of its own, since often one word is wrong
_LEAST = 4
_LONG = 40
# The distinct sentences of a premise, with their terms
Parts = dict[str, frozenset[str]]


class Options(Section):
    weights: Path | None = Field(default=None, json_schema_extra=BESIDE_STACK)
    """A file of weights that were trained for another embedder or field; `None`: the shipped one."""


class SignsJudge:
    """Judges by signs and a logistic curve. As thread-safe as the embedder."""

    def __init__(self, embedder: Embeddings, curve: LogisticCurve) -> None:
        self.embedder_name = name_of(embedder)
        self.model_name = f"signs over {self.embedder_name}"
        self.sign_names = SIGNS
        self._embedder, self._curve = embedder, curve

    def support(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return probabilities, as the port says; 1 for a sentence that is in the premise word for word. Raises ComponentError."""
        rows = self.signs(pairs)
        spelled = [[f" {' '.join(words(text))} " for text in pair] for pair in pairs]
        return [
            0.0 if row is None else 1.0 if sentence in premise else self._curve.score(row)
            for (premise, sentence), row in zip(spelled, rows, strict=True)
        ]

    def signs(self, pairs: Sequence[tuple[str, str]]) -> list[Rows | None]:
        """Return each pair's signs, in the order of `SIGNS`, by one call of the embedder; `None`: nothing to compare."""
        premises = {
            premise: {premise[start:end]: terms(premise[start:end]) for start, end in sentence_spans(premise)}
            for premise, _ in pairs
        }
        comparable = [pair for pair in dict.fromkeys(pairs) if premises[pair[0]] and words(pair[1])]
        if not comparable:
            return [None] * len(pairs)
        wanted = {pair: _most_promising(terms(pair[1]), premises[pair[0]]) for pair in comparable}
        texts = [*(hypothesis for _, hypothesis in comparable), *(part for parts in wanted.values() for part in parts)]
        vectors = _embed_texts(list(dict.fromkeys(texts)), self._embedder)
        return [_read_signs(pair[1], wanted[pair], vectors) if pair in wanted else None for pair in pairs]


def _most_promising(claimed: frozenset[str], parts: Parts) -> Parts:
    best = sorted(parts, key=lambda part: -len(claimed & parts[part])) if len(parts) > MOST_COMPARED else [*parts]
    return {part: parts[part] for part in best[:MOST_COMPARED]}


def _embed_texts(texts: Sequence[str], embedder: Embeddings) -> dict[str, tuple[Vectors, Vectors]]:
    """Return each text's vector and those of its tokens, or of its words where the embedder gives no tokens."""
    tokens = embed_tokens(embedder, texts)
    if tokens is not None:
        return {text: (middle(own), own) for text, own in zip(texts, tokens, strict=True)}
    spelled = {text: words(text) or [text] for text in texts}
    single = list(dict.fromkeys(word for spelling in spelled.values() for word in spelling))
    vectors = embed(embedder, [*texts, *single])
    of_word = dict(zip(single, vectors[len(texts) :], strict=True))
    whole = zip(texts, vectors, strict=False)
    return {text: (vector, np.stack([of_word[word] for word in spelled[text]])) for text, vector in whole}


def _read_signs(sentence: str, parts: Parts, vectors: Mapping[str, tuple[Vectors, Vectors]]) -> Rows:
    claimed, (whole, tokens) = terms(sentence), vectors[sentence]
    similarities = np.stack([vectors[part][0] for part in parts]) @ whole
    nearest = nearest_tokens(tokens, [vectors[part][1] for part in parts])
    by_any = np.sort(nearest.max(axis=0))
    return np.array(
        [
            float(similarities.max()),
            float(by_any.mean()),
            float(nearest.mean(axis=1).max()),
            float(by_any[: max(1, len(by_any) // _LEAST)].mean()),
            _share(claimed, frozenset().union(*parts.values())),
            max(_share(claimed, present) for present in parts.values()),
            min(len(words(sentence)), _LONG) / _LONG,
        ]
    )


def _share(wanted: frozenset[str], present: frozenset[str]) -> float:
    return len(wanted & present) / len(wanted) if wanted else 1.0


def build(options: Options, context: ScoringParts) -> SignsJudge:
    """Raises WeightsInvalid: the file is missing, or not in the format of the shipped one."""
    file = options.weights or WEIGHTS
    try:
        curve = LogisticCurve.of(json.loads(file.read_text(encoding="utf-8")), SIGNS)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsInvalid(
            f"{file} holds no weights of signs: {error!r}. Write them with make train-verify CLAIMS=... TO={file}, or leave "
            f"`weights` out of [models.entailment]."
        ) from error
    return SignsJudge(context.embedder, curve)

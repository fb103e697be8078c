"""Evidence: the sentences of hits that answer, the confidence in them, and their support of written sentences.

Sentences are ranked by a weighted sum of explainable signals (`[retrieval.grounding.weights]`). With the default weights the first sentence
holds the answer in 85 % of SQuAD questions over six documents, one of the first three in 95 %; without the late interaction in 83 %.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from math import exp

import numpy as np

from foundation.text.lexical import Rarity, are_of_two_languages, is_foreign, terms, unmet_names, versions
from foundation.text.sentences import sentence_spans
from foundation.text.tokens import in_latin_letters
from foundation.text.words import word_count
from foundation.types import EVERY_TENANT
from models.contract import Embeddings, EntailmentJudge
from models.embedding import Vectors, embed, embed_query, embed_tokens, middle, nearest_tokens, served_tenant
from retrieval.contract import Rewording
from retrieval.documents import Citation, Hit
from retrieval.grounding.citing import Evidence, cite_span, headings_of
from retrieval.grounding.claim_support import support_of
from retrieval.grounding.sureness import Signs, contradicts, says_all
from retrieval.settings import GroundingSettings, Weights

# Most sentences that are embedded for one question, the best by wording and rank, since embedding takes nearly all of
# an answer's time. The figures above hold down to 24; the rest is for questions in other words than the documents'.
_MOST_EMBEDDED = 32
_CONTEXT_CHARACTERS = 80
# Weight of a question's words against the embedder's tokens where it is in letters that the embedder does not read
FOREIGN_WORDING = 0.5
# Likeness across languages is smaller than within one; chosen on xquad, with an embedder that reads both
ACROSS_LANGUAGES = 1.25
# Most points by which a document's score counts as behind the best one: two standard deviations. The cap keeps a
# retriever with another scale from deciding alone.
FAR_BEHIND = 2.0
# A line of front matter, such as `Effective from: 1 July 2026`. Table rows differ: they have semicolons.
_LABELLED = re.compile(r"[^\W\d_][\w -]{0,30}: \S")
# Most words of a sentence with a colon and what it introduces; a short answer has no room for more
_ROOM = 40


@dataclass(frozen=True)
class _Candidate:
    """A sentence of a hit. Its `end` includes what it introduces, its `text` does not."""

    hit: Hit
    rank: int
    behind: float
    start: int
    end: int
    text: str
    terms: frozenset[str]
    # Terms of the sentence before it, to which pronouns refer, and of the heading
    before: frozenset[str]
    # Versions named in title and headings, else in the text
    versions: frozenset[str]

    @property
    def in_context(self) -> str:
        heading = self.hit.chunk.heading_path[-1] if self.hit.chunk.heading_path else self.hit.source.title
        return f"{heading[:_CONTEXT_CHARACTERS]}: {self.text}" if heading else self.text


# The embedder's comparison of a candidate with the question: similarity, closeness of all parts, and
# `Evidence.matched`.
_Compared = tuple[float, float, tuple[float, ...]]


class Grounding:
    """Finds evidence and its confidence by an embedder, and support by a judge."""

    def __init__(
        self,
        embedder: Embeddings,
        judge: EntailmentJudge,
        settings: GroundingSettings,
        *,
        multilingual: bool = False,
        rewordings: Sequence[Rewording] = (),
    ) -> None:
        self._embedder, self.judge, self.settings, self._multilingual = embedder, judge, settings, multilingual
        self._rewordings = rewordings

    def evidence(self, question: str, hits: Sequence[Hit], *, limit: int) -> list[Evidence]:
        """Return at most `limit` sentences that answer best, best first. Hits of a document must be adjacent."""
        candidates = list(_candidates(hits))
        if not candidates:
            return []
        question = self._fit(question, hits)
        rarity = Rarity.among(terms(question), [candidate.terms for candidate in candidates])
        if len(candidates) > _MOST_EMBEDDED:
            candidates.sort(key=lambda c: -rarity.coverage(c.terms | c.before) - 1 / (2 + c.rank))
            del candidates[_MOST_EMBEDDED:]
        asked_versions = versions(question)
        versions_match = any(asked_versions <= candidate.versions for candidate in candidates)
        judged = []
        for candidate, compared in zip(candidates, self._compare(question, candidates, rarity), strict=True):
            stray = versions_match and not asked_versions <= candidate.versions
            judged.append(_judge(candidate, rarity, compared, self.settings.weights, stray=stray))
        return sorted(judged, key=lambda evidence: -evidence.score)[:limit]

    def _compare(self, question: str, candidates: Sequence[_Candidate], rarity: Rarity) -> list[_Compared]:
        texts = [candidate.in_context for candidate in candidates]
        tokens = embed_tokens(self._embedder, [question, *texts])
        # late interaction needs vectors of tokens; with other embedders, terms replace tokens
        if tokens is None:
            vectors = embed(self._embedder, texts)
            similarities = np.clip(vectors @ embed_query(self._embedder, question), 0, 1).tolist()
            matches = [rarity.weights_matched(candidate.terms) for candidate in candidates]
            return [(s, (s + sum(m)) / 2, m) for s, m in zip(similarities, matches, strict=True)]
        query_tokens, *sentences = tokens
        middles = np.stack([middle(vectors) for vectors in sentences])
        similarities = np.clip(middles @ middle(query_tokens), 0, 1).tolist()
        matches = [tuple(row) for row in _late_interaction(query_tokens, sentences).tolist()]
        if not (self._multilingual or in_latin_letters(question)):
            by_terms = [rarity.weights_matched(candidate.terms) for candidate in candidates]
            matches = [
                (*((1 - FOREIGN_WORDING) * token for token in row), *(FOREIGN_WORDING * term for term in terms_matched))
                for row, terms_matched in zip(matches, by_terms, strict=True)
            ]
        return [(s, min(1.0, sum(m)), m) for s, m in zip(similarities, matches, strict=True)]

    def strength(self, question: str, evidence: Sequence[Evidence]) -> float:
        """Return how much the evidence is about the question, from 0 to 1; 0 without evidence."""
        if not evidence:
            return 0.0
        similarity = max(item.similarity for item in evidence)
        coverage = max(item.coverage for item in evidence)
        question = self._fit(question, [item.hit for item in evidence])
        by_meaning = self.settings.weights["confidence_by_meaning"]
        sure = by_meaning * similarity + (1 - by_meaning) * coverage
        if self._multilingual:  # it may share no word with what answers it
            nearest = max(evidence, key=lambda item: item.similarity).hit.chunk.text
            across = ACROSS_LANGUAGES if are_of_two_languages(question, nearest) else 1.0
            sure = max(sure, min(1.0, across * similarity)) if across > 1 or is_foreign(question) else sure
        around = " ".join(f"{headings_of(item.hit)} {item.hit.chunk.text}" for item in evidence)
        # Statements about others than the question names may sound like an answer
        return sure / 2 if unmet_names(question, around) else sure

    def signs(self, question: str, quoted: Sequence[Evidence], evidence: Sequence[Evidence]) -> Signs:
        """Return what speaks for and against quotes of the evidence as an answer."""
        question = self._fit(question, [item.hit for item in evidence])
        return Signs(self.strength(question, evidence), says_all(question, quoted), contradicts(question, quoted))

    def _fit(self, question: str, hits: Sequence[Hit]) -> str:
        """Return the question in the words of the hits, for the tenant of `on_behalf_of`."""
        texts = [f"{headings_of(hit)} {hit.chunk.text}" for hit in hits] if self._rewordings else []
        tenant = served_tenant.get() or EVERY_TENANT
        return reduce(lambda so_far, rewording: rewording.fit(so_far, tenant, texts), self._rewordings, question)

    def confidence(self, signs: Signs) -> float:
        """Return the probability that the quotes answer: at most one half where something in them is against it."""
        curve = self.settings.confidence
        sure = 1 / (1 + exp(-(curve["bias"] + curve["strength"] * signs.strength + curve["said"] * signs.said)))
        return sure / 2 if signs.contradicted else sure

    def support(self, sentences: Sequence[str], quotes: Sequence[str]) -> list[float]:
        """Return the support of each sentence by all quotes, from 0 to 1; headings may name their subjects."""
        return support_of(sentences, quotes, self.judge)

    def cite(self, evidence: Evidence, marker: int) -> Citation:
        return cite_span(evidence.hit, marker, evidence.start, evidence.text)


def _candidates(hits: Sequence[Hit]) -> Iterator[_Candidate]:
    seen: set[tuple[str, int, int]] = set()
    ranks: dict[str, int] = {}
    best = max((hit.score for hit in hits), default=0.0)
    for hit in hits:
        rank = ranks.setdefault(hit.chunk.document_id, len(ranks) + 1)
        heading = terms(" ".join(hit.chunk.heading_path) or hit.source.title)
        named = versions(headings_of(hit)) or versions(hit.chunk.text)  # a text mentions versions that it is not about
        before: frozenset[str] = frozenset()
        front = hit.chunk.position == 0
        spans = sentence_spans(hit.chunk.text)
        for at, (start, end) in enumerate(spans):
            text = hit.chunk.text[start:end]
            until = hit.chunk.start + _end_of_introduction(hit.chunk.text, spans[at:])
            place = (hit.chunk.document_id, hit.chunk.start + start, hit.chunk.start + end)
            sentence_terms = terms(text)
            front = front and ";" not in text and _LABELLED.match(text) is not None
            around = frozenset() if front else before | heading  # front matter does not describe its title's subject
            if place not in seen:
                seen.add(place)
                yield _Candidate(hit, rank, best - hit.score, place[1], until, text, sentence_terms, around, named)
            before = sentence_terms


def _end_of_introduction(text: str, spans: Sequence[tuple[int, int]]) -> int:
    """Return where the first sentence ends, or after a colon what it introduces, within its paragraph and `_ROOM`."""
    start, end = spans[0]
    if not text[start:end].endswith((":", "\uff1a")):
        return end
    for place, (begin, following) in enumerate(spans[1:]):
        if (place and "\n\n" in text[end:begin]) or word_count(text[start:following]) > _ROOM:
            break
        end = following
    return end


def _late_interaction(query_tokens: Vectors, sentences: Sequence[Vectors]) -> Vectors:
    """Return shape (sentences, tokens of the question): the weighted cosine of the nearest token. A token that matches
    all sentences well weighs less, as with an inverse document frequency; the weights sum to 1.
    """
    nearest = nearest_tokens(query_tokens, sentences)
    weights = 1 - nearest.mean(axis=0) + 1e-6
    return np.asarray(nearest * (weights / weights.sum()))


def _judge(candidate: _Candidate, rarity: Rarity, compared: _Compared, weights: Weights, *, stray: bool) -> Evidence:
    """Score a candidate. `stray`: its passage is about another version than the question, and another candidate's is not."""
    similarity, closeness, matched = compared
    own = rarity.coverage(candidate.terms)
    near = rarity.coverage(candidate.terms | candidate.before)
    score = (
        weights["closeness"] * closeness
        + weights["similarity"] * similarity
        + weights["own_terms"] * own
        + weights["near_terms"] * near
        + weights["rank"] / candidate.rank
        - weights["behind"] * min(candidate.behind, FAR_BEHIND)
        - weights["other_version"] * stray
    )
    chunk = candidate.hit.chunk
    return Evidence(
        hit=candidate.hit,
        start=candidate.start,
        end=candidate.end,
        text=chunk.text[candidate.start - chunk.start : candidate.end - chunk.start],
        score=max(0.0, score),
        similarity=similarity,
        coverage=near,
        matched=matched,
    )

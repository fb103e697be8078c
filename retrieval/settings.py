"""[retrieval]: how documents are read, cut, stored, searched and judged."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from foundation.settings import Part, Section, one_of


class ParsingSettings(Section):
    max_bytes: int = Field(default=20_000_000, gt=0)
    max_pages: int = Field(default=500, gt=0)
    """Pages, or sheets, slides and so on; of any format at most 10,000 characters for each."""
    timeout_s: float = Field(default=10, gt=0)


class RankingSettings(Section):
    top_k: int = Field(default=10, ge=1)
    """Documents returned for one query."""
    keyword_weight: float = Field(default=0.45, ge=0, le=1)
    """Weight of the words that match; the rest is that of the vectors."""
    rerank_weight: float = Field(default=0.5, ge=0, le=1)
    """Weight of the reranker against the fusion; 1: its order alone."""


# Fitted to the golden set of the example and rounded; with documents of another kind, measure your own
WEIGHTS: Mapping[str, float] = {
    "closeness": 0.46,  # late interaction: how well each token of the question is matched in the sentence
    "similarity": 0.24,  # cosine of the question and the sentence with its heading
    "own_terms": 0.06,  # share of the question's terms, by rarity, in the sentence
    "near_terms": 0.12,  # that share in the sentence, the one before it and the heading together
    "rank": 0.07,  # rank of its document: in full for the first, half for the second
    "behind": 0.03,  # deduction for each point that its document's score is behind the best one
    "other_version": 0.25,  # deduction where its passage is about another version than the question
    "confidence_by_meaning": 0.8,  # share of the confidence from cosine similarity; the rest is from the question's terms
}
Weights = Mapping[Annotated[str, one_of(WEIGHTS)], Annotated[float, Field(ge=0, le=1)]]


# Of the logistic curve from the strength of the evidence to the probability that its quotes answer: fitted to four public sets with
# questions of both kinds, not to the golden set. The extension calibration fits it to your own questions
CURVE: Mapping[str, float] = {
    "strength": 6.0,  # how much the evidence is about the question, 0 to 1
    "said": 0.8,  # one quote has every word of the question
    "bias": -3.7,
}
Curve = Mapping[Annotated[str, one_of(CURVE)], float]


class GroundingSettings(Section):
    min_evidence: float = Field(default=0.46, ge=0, le=1)
    """Least strength of the evidence; below it the system says that it found nothing. `make calibrate`, of the extension calibration, suggests a value."""
    answered_from: float = Field(default=0.86, ge=0, le=1)
    """Least confidence at which quotes are an answer; below it they are shown as the closest passages, which may not answer."""
    confidence: Annotated[Curve, AfterValidator(lambda given: {**CURVE, **given})] = CURVE
    """The curve from the evidence to the confidence in an answer."""
    min_support: float = Field(default=0.6, ge=0, le=1)
    """Least support of a generated sentence by its cited span."""
    weights: Annotated[Weights, AfterValidator(lambda given: {**WEIGHTS, **given})] = WEIGHTS
    """Weights of the signals by which a sentence is chosen to answer from, and of the confidence in it."""


class RetrievalSettings(Section):
    ledger: Part = Part(use="sqlite")
    vectors: Part = Part(use="exact")
    chunker: Part = Part(use="structure")
    recogniser: Part | None = None
    """What recognises words in pictures, where an extension reads them; without it that extension chooses."""
    multilingual: bool = False
    """Whether the embedder reads other than Latin letters. The bundled one does not: there words count more than vectors."""
    parsing: ParsingSettings = ParsingSettings()
    keep_replaced: bool = True
    """Whether the text of a replaced document is kept as a dated version, for questions about an earlier day."""
    ranking: RankingSettings = RankingSettings()
    grounding: GroundingSettings = GroundingSettings()

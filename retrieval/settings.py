"""[retrieval]: how documents are read, cut, stored, searched and judged."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, IPvAnyNetwork

from foundation.settings import Part, Section


class ParsingSettings(Section):
    max_bytes: int = Field(default=20_000_000, gt=0)
    max_pages: int = Field(default=500, gt=0)
    max_characters: int = Field(default=5_000_000, gt=0)
    timeout_s: float = Field(default=10, gt=0)
    memory_mb: int = Field(default=512, gt=0)
    """Of the parsing process, its libraries included, which take about 180."""
    keep_refused_mb: float = Field(default=200, ge=0)
    """How much of what was refused is kept below the data folder for `make ingest RETRY=1`; 0 keeps nothing."""


class FetchingSettings(Section):
    """Documents from addresses, `make ingest SRC=https://...`. Whoever names an address makes this machine call it."""

    enabled: bool = False
    hosts: tuple[str, ...] = ()
    """Only these hosts, as `example.com` or `.example.com` for all below it; empty: any that is public."""
    networks: tuple[IPvAnyNetwork, ...] = ()
    """Networks that may be called although they are not public, e.g. `10.1.0.0/16`."""
    schemes: tuple[Literal["https", "http"], ...] = ("https",)
    ports: tuple[int, ...] = (443, 80)
    redirects: int = Field(default=3, ge=0, le=20)
    timeout_s: float = Field(default=20, gt=0)
    """For all of it, redirects included."""


class RankingSettings(Section):
    top_k: int = Field(default=10, ge=1)
    """Documents served for one query."""
    candidates: int = Field(default=150, ge=1)
    """Passages fetched by each leg before fusion."""
    keyword_weight: float = Field(default=0.45, ge=0)
    vector_weight: float = Field(default=0.55, ge=0)
    foreign_vector_weight: float = Field(default=0.15, ge=0)
    """`vector_weight` for a query that is not in Latin letters: the bundled embedder reads English. With a multilingual
    one, set both alike."""
    reranked: int = Field(default=20, ge=1)
    """Documents that the reranker sees; what stands below keeps its place."""
    rerank_weight: float = Field(default=0.5, ge=0, le=1)
    """How much the reranker decides, against the fusion: 1 is its order alone."""


class SentenceWeights(Section):
    """What each sign counts when a sentence is chosen to answer from, and how sure of it one is.

    The defaults were fitted to the golden set of the support desk (`examples/support_desk`) and rounded; they hold on SQuAD, too
    (`retrieval/grounding/evidence.py`). With documents of another kind, measure your own: `make evaluate`.
    """

    closeness: float = Field(default=0.46, ge=0, le=1)
    """How well each part of the question finds its like in the sentence."""
    similarity: float = Field(default=0.24, ge=0, le=1)
    """Similarity of meaning, under the sentence's heading."""
    own_terms: float = Field(default=0.06, ge=0, le=1)
    """The question's terms, by rarity, in the sentence itself."""
    near_terms: float = Field(default=0.12, ge=0, le=1)
    """The same in the sentence, the one before it and the heading."""
    kind: float = Field(default=0.05, ge=0, le=1)
    """It holds the kind of thing that is asked for: a figure, a date, a name."""
    rank: float = Field(default=0.07, ge=0, le=1)
    """Its document stands first; half as much where it stands second."""
    behind: float = Field(default=0.03, ge=0, le=1)
    """Taken off for each point that its document's score is behind the best one."""
    other_version: float = Field(default=0.25, ge=0, le=1)
    """Taken off where its passage is about another version than the one that is asked for: about what the kind of answer, the
    rank, a rare word of the question and the score of its document weigh together."""
    confidence_by_meaning: float = Field(default=0.8, ge=0, le=1)
    """Of the confidence in the evidence the part that is similarity of meaning; the rest is the question's terms."""


class GroundingSettings(Section):
    min_evidence: float = Field(default=0.46, ge=0, le=1)
    """Below this confidence in the evidence (`Grounding.confidence`) the answer is an abstention. `make calibrate` says where
    it should be."""
    min_support: float = Field(default=0.6, ge=0, le=1)
    """A generated sentence must be supported this well by its cited span."""
    min_claim_support: float = Field(default=0.02, ge=0, le=1)
    """A claim of a written answer that nothing else speaks against is marked where the judge is less sure of it. It suits the
    bundled judge, which tells what has nothing to do with the passages; with a cross-encoder or a chat model take 0.5."""
    judged_below: float = Field(default=0.5, ge=0, le=1)
    """Share of a claim's terms in the sentences nearest to it from which the judge is not asked; with a strong judge, 1."""
    weights: SentenceWeights = SentenceWeights()
    foreign_wording: float = Field(default=0.5, ge=0, le=1)
    """Where most letters of a question are not Latin ones, how much its words count beside the tokens of the embedder when a
    sentence is chosen. The bundled one knows their letters rather than their words; 0 suits one of many languages."""


class RetrievalSettings(Section):
    ledger: Part = Part(use="sqlite")
    vectors: Part = Part(use="chroma")
    chunker: Part = Part(use="structure")
    parsing: ParsingSettings = ParsingSettings()
    fetching: FetchingSettings = FetchingSettings()
    keep_replaced: bool = True
    """What a document said on earlier days is kept when it is replaced, for questions about such a day."""
    ranking: RankingSettings = RankingSettings()
    grounding: GroundingSettings = GroundingSettings()

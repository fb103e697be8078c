"""Wrappers that make rerankers and judges of entailment keep their port's promises: results checked, errors translated."""

import math
import re
from collections.abc import Sequence

from langchain_core.documents import BaseDocumentCompressor, Document

from foundation.errors import InvalidSetting, UpstreamMalformed
from models.contract import EntailmentJudge, Reranker
from models.embedding import name_of, readable
from models.resilience.vendor_errors import translate_errors

_WORD = re.compile(r"[^\W_]")
# Key in a document's metadata: the index of its text. Some compressors lose a document's id.
PLACE = "sixply_place"


def reranker_of(part: object) -> Reranker:
    """Check the scores and translate the errors of a `Reranker` or LangChain compressor. Raises InvalidSetting: it is neither."""
    if isinstance(part, BaseDocumentCompressor):
        return CheckedReranker(Compressor(part))
    if isinstance(part, Reranker):
        return CheckedReranker(part)
    raise InvalidSetting(
        f"[models.reranker] made a {type(part).__name__}, which is neither a reranker nor a LangChain compressor."
    )


class CheckedReranker:
    """A reranker around another one that rejects invalid scores, which would silently spoil the order."""

    def __init__(self, inner: Reranker) -> None:
        self.inner = inner
        self.model_name = name_of(inner)

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return the scores of `inner`. Raises UpstreamMalformed: their number is wrong, or one is not finite. ComponentError: it failed."""
        with translate_errors(self.model_name):
            readable_query, *readable_texts = readable([query, *texts])
            scores = [float(score) for score in self.inner.score(readable_query, readable_texts)]
        if len(scores) != len(texts) or not all(map(math.isfinite, scores)):
            raise UpstreamMalformed(
                f"{self.model_name} returned {len(scores)} scores for {len(texts)} texts, or one that is no number. Check it."
            )
        return scores


class CheckedJudge:
    """A judge around another one that passes on only pairs with words on both sides, and rejects invalid probabilities."""

    def __init__(self, inner: EntailmentJudge) -> None:
        self.inner = inner
        self.model_name = name_of(inner)

    def support(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return the checked probabilities; 0 where a side has no words. Raises UpstreamMalformed, ComponentError."""
        with_words = {place: pair for place, pair in enumerate(pairs) if all(map(_WORD.search, pair))}
        if not with_words:
            return [0.0] * len(pairs)
        texts = readable([text for pair in with_words.values() for text in pair])
        with translate_errors(self.model_name):
            answers = self.inner.support(list(zip(texts[::2], texts[1::2], strict=True)))
            probabilities = [float(answer) for answer in answers]
        if len(probabilities) != len(with_words) or not all(math.isfinite(p) and 0 <= p <= 1 for p in probabilities):
            raise UpstreamMalformed(
                f"{self.model_name} returned {len(probabilities)} probabilities for {len(with_words)} pairs, or one that is not "
                f"from 0 to 1. Check the model."
            )
        by_place = dict(zip(with_words, probabilities, strict=True))
        return [by_place.get(place, 0.0) for place in range(len(pairs))]


class Compressor:
    """A LangChain document compressor as a reranker: by `relevance_score`, else by rank; what it drops comes last."""

    def __init__(self, compressor: BaseDocumentCompressor) -> None:
        self._compressor = compressor
        self.model_name = name_of(compressor)

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        if not texts:
            return []  # some vendors refuse an empty list
        documents = [Document(page_content=text, metadata={PLACE: place}) for place, text in enumerate(texts)]
        ranked = list(self._compressor.compress_documents(documents, query))
        if not all(isinstance(document.metadata.get(PLACE), int) for document in ranked):
            raise UpstreamMalformed(
                f"{self.model_name} returned a document without the metadata that it got. Use a compressor that keeps it."
            )
        reported = [document.metadata.get("relevance_score") for document in ranked]
        scores = [float(score) for score in reported if score is not None]
        if len(scores) < len(ranked):
            scores = [1 / (1 + rank) for rank in range(len(ranked))]
        below = math.nextafter(min(scores, default=0.0), -math.inf)
        by_place = {document.metadata[PLACE]: score for document, score in zip(ranked, scores, strict=True)}
        return [by_place.get(place, below) for place in range(len(texts))]

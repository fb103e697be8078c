"""Words that failed questions have and no document, with the words of the nearest passages that mean most like them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from langchain_core.embeddings import Embeddings

from foundation.text.lexical import FUNCTION_WORDS, words
from foundation.types import Scope
from models.embedding import embed
from orchestration.events import Turn
from retrieval.contract import DocumentLedger

# Passages whose words are looked at, words that are proposed for one, and least letters of a word
PASSAGES, PROPOSED, LETTERS = 10, 3, 4


@dataclass(frozen=True, slots=True)
class Unknown:
    """A word of failed questions that no document has which their person may read."""

    word: str
    tenant: str
    questions: int
    near: tuple[str, ...]
    """Words of the nearest passages, those that mean most like it first."""


def has_failed(turn: Turn) -> bool:
    return turn.status == "abstained" or turn.band in ("closest", "not_found")


def propose(
    failed: Iterable[tuple[str, Scope]],
    ledger: DocumentLedger,
    embedder: Embeddings,
    known: Iterable[Sequence[str]] = (),
) -> list[Unknown]:
    """Return the unknown words of failed questions, the commonest first, without those for which there are other words already."""
    taken = {word for same in known for name in same for word in words(name)}
    times: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], tuple[str, Scope]] = {}
    for question, scope in failed:
        for word in {*words(question)} - taken - FUNCTION_WORDS:
            if len(word) >= LETTERS and word.isalpha():
                times[word, scope.tenant] += 1
                first.setdefault((word, scope.tenant), (question, scope))
    found = []
    for (word, tenant), count in times.most_common():
        question, scope = first[word, tenant]
        if not ledger.keyword_search(word, scope, limit=1, as_of=None) and (
            near := _near(word, question, scope, ledger, embedder)
        ):
            found.append(Unknown(word, tenant, count, near))
    return found


def _near(word: str, question: str, scope: Scope, ledger: DocumentLedger, embedder: Embeddings) -> tuple[str, ...]:
    keys = [key for key, _, _ in ledger.keyword_search(question, scope, limit=PASSAGES, as_of=None)]
    texts = [hit.chunk.text for hit in ledger.hits(keys, scope, as_of=None).values()]
    written = sorted(
        {each for text in texts for each in words(text) if len(each) >= LETTERS and each.isalpha()} - FUNCTION_WORDS
    )
    if not written:
        return ()
    vectors = embed(embedder, [word, *written])
    order = (vectors[1:] @ vectors[0]).argsort()[::-1][:PROPOSED]
    return tuple(written[place] for place in order)

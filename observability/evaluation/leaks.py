"""Detect answers that show a document to someone who may not see it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from foundation.types import Scope
from observability.evaluation.metrics import tokens

# Number of consecutive words that prove that a text was taken from a document
WORDS = 8


@dataclass(frozen=True, slots=True)
class DocumentText:
    """A stored document and its readers."""

    uri: str
    tenant: str
    groups: frozenset[str]
    text: str

    @property
    def scope(self) -> Scope:
        """Scope of a person who may read it."""
        return Scope(self.tenant, self.groups)


class LeakFinder:
    """Searches answers for stored texts. Words that a permitted document shares prove nothing."""

    def __init__(self, documents: Iterable[DocumentText]) -> None:
        self._by_uri: dict[str, list[DocumentText]] = defaultdict(list)
        self._by_words: dict[tuple[str, ...], list[DocumentText]] = defaultdict(list)
        for document in documents:
            self._by_uri[document.uri].append(document)
            for words in _runs(document.text):
                self._by_words[words].append(document)

    def __bool__(self) -> bool:
        return bool(self._by_uri)

    def has_leak(self, scope: Scope, *, text: str, citations: Collection[str]) -> bool:
        """Whether an answer cites a document that `scope` may not see, or repeats `WORDS` of its words in a row."""
        shown = [self._by_uri[uri] for uri in citations if uri in self._by_uri]
        shown += [self._by_words[words] for words in _runs(text) if words in self._by_words]
        return any(not any(scope.admits(owner.tenant, owner.groups) for owner in owners) for owners in shown)


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    words = tokens(text)
    return (tuple(words[start : start + WORDS]) for start in range(len(words) - WORDS + 1))

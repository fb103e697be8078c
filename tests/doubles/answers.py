"""Answers, golden cases and a small searchable corpus that say in their text that they are doubles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from foundation.types import Scope
from observability.evaluation.golden_set import GoldenCase
from orchestration.actions import Approval
from orchestration.events import Answer
from retrieval.documents import Chunk, Citation, Hit, Refusal, Source

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)


def answer(text: str = "double: 30 days", *, cites: Iterable[str] = (), **changed: Any) -> Answer:
    """A finished answer that cites whole documents by uri."""
    citations = tuple(
        Citation(marker=number, document_id=uri, chunk_id=f"{uri}#0", uri=uri, title="", start=0, end=1, quote="d")
        for number, uri in enumerate(cites, 1)
    )
    given = {
        "answer_id": f"a-{abs(hash(text)) % 10**8}", "thread_id": "t", "question": "q", "status": "answered",
        "stop_reason": "complete", "text": text, "citations": citations, "path": "extractive",
        "cost_usd": Decimal("0.001"), "seconds": 0.5,
    }  # fmt: skip
    return Answer(**{**given, **changed})


def waiting(tool: str, arguments: dict[str, Any], **changed: Any) -> Answer:
    """An answer whose effect waits for a person."""
    approval = Approval(
        approval_id="p", thread_id="t", tenant="acme", requested_by="s", tool=tool, arguments=arguments,
        arguments_hash="h", reason="double", requested_at=NOW, expires_at=NOW + timedelta(hours=1),
        **changed,
    )  # fmt: skip
    return answer("double: waits", status="waiting", stop_reason="approval", path="tool", approval=approval)


def case(**changed: Any) -> GoldenCase:
    """An answerable case with one gold document."""
    given = {
        "id": "g1", "question": "How long?", "kind": "answerable", "tenant": "acme", "gold_documents": ("a.md",),
        "answers": ("30 days",), "answerable": True,
    }  # fmt: skip
    return GoldenCase(**{**given, **changed})


@dataclass
class Ingested:
    refused: list[Refusal]
    chunks: int
    seconds: float = 0.1


@dataclass
class WordSearch:
    """Ingestor and retriever in one: documents by the number of words that they share with the query."""

    texts: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, int | None]] = field(default_factory=list)

    def ingest(self, items: Sequence[Any], *, progress: Callable[[int], None] | None = None) -> Ingested:
        refused = []
        for done, item in enumerate(items, 1):
            if item.content.strip():
                self.texts[item.source.uri] = item.content.decode()
            else:
                refused.append(Refusal(item.source.uri, item.source.tenant, "empty", "it is empty", NOW))
            if progress:
                progress(done)
        return Ingested(refused, chunks=len(self.texts))

    def retrieve(
        self,
        query: str,
        scope: Scope,
        *,
        limit: int | None = None,
        as_of: date | None = None,
        per_document: int = 1,
        where: Any = None,
    ) -> list[Hit]:
        self.asked.append((query, limit))
        words = set(query.casefold().split())
        scored = {uri: len(words & set(text.casefold().split())) for uri, text in self.texts.items()}
        best = sorted((uri for uri in scored if scored[uri]), key=lambda uri: (-scored[uri], uri))[:limit]
        return [hit for uri in best for hit in self._hits(uri, scope)]

    def _hits(self, uri: str, scope: Scope) -> list[Hit]:
        """Two chunks a document, as a real retriever may give."""
        source = Source(uri=uri, tenant=scope.tenant)
        return [Hit(Chunk(f"{uri}#{n}", uri, n, "d", 0, 1), source, 1.0) for n in range(2)]

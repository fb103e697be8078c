"""What to begin with: questions of the golden set whose documents the person may read; where there are none, documents."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

from foundation.errors import InvalidRequest
from foundation.types import EVERY_TENANT, Scope
from observability.evaluation.golden_set import NOBODY, GoldenCase, read_known_cases
from retrieval.contract import DocumentLedger
from retrieval.documents import Document

MOST = 4
# documents beyond which they are not looked through for the newest
MOST_LISTED = 10_000


def example_questions(folder: Path, ledger: DocumentLedger, scope: Scope) -> list[str]:
    """Return questions of the person's own tenant, each from other documents. A set that cannot be read has none."""
    return list(islice(_fitting(_cases(folder / "golden.jsonl"), ledger, scope), MOST))


def newest_documents(ledger: DocumentLedger, scope: Scope) -> list[Document] | None:
    """Return the newest documents that the person may read; `None` where there are too many to look."""
    if ledger.document_count() > MOST_LISTED:
        return None
    return sorted(ledger.documents(scope), key=lambda document: document.ingested_at, reverse=True)[:MOST]


def _fitting(cases: tuple[GoldenCase, ...], ledger: DocumentLedger, scope: Scope) -> Iterator[str]:
    asked_of: set[str] = set()
    for case in cases:
        of_documents = case.kind == "answerable" and case.gold_documents and case.reviewed_by != NOBODY
        theirs = case.tenant == scope.tenant and scope.groups.issuperset(case.groups)
        if not (of_documents and theirs) or asked_of.intersection(case.gold_documents):
            continue
        if all(_is_readable(uri, ledger, scope) for uri in case.gold_documents):
            asked_of.update(case.gold_documents)
            yield case.question


def _is_readable(uri: str, ledger: DocumentLedger, scope: Scope) -> bool:
    tenants = (scope.tenant, EVERY_TENANT)
    known = (document for tenant in tenants for document in ledger.documents_where(tenant, uri=uri))
    return any(document.source.is_readable(scope) for document in known)


@cache
def _cases(path: Path) -> tuple[GoldenCase, ...]:
    try:
        return tuple(read_known_cases(path))
    except InvalidRequest:  # `make evaluate` says what is wrong with it
        return ()

"""How many questions of each kind are proposed, and in which order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice

from extensions.proposals import from_documents, harder
from extensions.proposals.from_documents import Checks, Draft
from extensions.proposals.review import Proposal
from extensions.structured.generating import Ask

# one in this many is unanswerable: a set without any would reward a system that never refuses
ABSENT = 5
# and one in this many each is a follow-up, over a table, and over two documents
HARDER = 10


@dataclass
class Proposing:
    """Collects `n` accepted proposals: those of a chat model (`ask`) first, then the rules'."""

    checks: Checks
    n: int
    progress: Callable[[str, int, int], None]
    ask: Ask | None = None
    accepted: list[Proposal] = field(default_factory=list)

    async def propose(self) -> None:
        """Fill `accepted`. Where the documents have no harder questions, plain ones take their place."""
        texts, answerable, each = self.checks.texts, self.n - self.n // ABSENT, self.n // HARDER
        by_rule = list(from_documents.by_rule(texts))
        plain = self._ask_and_derive(by_rule, absent=False)
        await self._accept(plain, answerable - 3 * each)
        for drafts_of in (harder.follow_ups, harder.extremes):
            await self._accept(self._in_words(from_documents.in_turns(drafts_of, texts)), len(self.accepted) + each)
        self.accepted += islice(harder.over_two_documents(self.accepted, self.checks.known), each)
        await self._accept(plain, answerable)
        absent = max(1, len(self.accepted) // (ABSENT - 1))
        unanswerable = self._ask_and_derive(from_documents.absent_by_rule(by_rule), absent=True)
        await self._accept(unanswerable, len(self.accepted) + absent)

    async def _ask_and_derive(self, rules: Iterable[Draft], *, absent: bool) -> AsyncIterator[Draft]:
        if self.ask:
            left_out = self.checks.left_out
            async for draft in from_documents.by_model(self.checks.texts, self.ask, absent=absent, left_out=left_out):
                yield draft
        for draft in rules:
            yield draft

    async def _in_words(self, rules: Iterable[Draft]) -> AsyncIterator[Draft]:
        for draft in rules:
            yield await harder.reword(draft, self.ask, self.checks.left_out) if self.ask else draft

    async def _accept(self, drafts: AsyncIterator[Draft], wanted: int) -> None:
        while len(self.accepted) < wanted and (draft := await anext(drafts, None)):
            if (proposal := self.checks.proposal(draft)) is not None:
                self.accepted.append(proposal)
                self.progress("propose", len(self.accepted), self.n)

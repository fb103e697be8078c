"""The check of a written answer: each of its claims held against the passages that it cites.

What stands in a passage word for word is anchored there. Otherwise figures, names and denials are compared with the
sentences that say nearly the same, and only where these find nothing does a trained judge decide. Nothing of the answer
is changed: a claim that does not hold comes back with what was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foundation.text.lexical import terms
from foundation.text.sentences import sentence_spans
from retrieval.grounding.claim_spans import Statement, split_statements
from retrieval.grounding.evidence import Grounding

MIN_SUPPORT = 0.2
"""Below this a claim that nothing else speaks against is marked. Lower than what a bundled model's sentence must reach to be
shown: a mark on a true sentence costs a reader as much as a missing one."""


@dataclass(frozen=True, slots=True)
class Passage:
    """What the writer was shown, under the number that it cites it by."""

    number: int
    text: str
    headings: str = ""
    """Title and heading path, from which a sentence may take its subject."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where a claim stands: `text[start:end]` of the passage with this number."""

    passage: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence, list item or table row of an answer that states something: `answer[start:end]`, its markers included."""

    start: int
    end: int
    text: str
    """Without markers and Markdown signs."""
    cited: tuple[int, ...]
    """The passages whose markers stand in it and exist."""
    anchors: tuple[Anchor, ...] = ()
    finding: str = ""
    """Empty: it holds. Else `figure`, `name`, `denied`, `unsupported` or `unknown_marker`."""
    detail: str = ""
    """For the writer, in order to repair it."""


def check_answer(
    answer: str, passages: Sequence[Passage], *, known: Sequence[str] = (), question: str = "", grounding: Grounding
) -> list[Claim]:
    """The claims of a Markdown answer in order, each with where it stands or with what is wrong with it.

    A claim without a marker is held against what its paragraph, list item or row cites, and without any against every
    passage. `known` are other texts that the answer may rest on, such as results of tools.

    Raises:
        ComponentError: the embedder failed.
    """
    by_number = {passage.number: passage for passage in passages}
    return [_check(statement, by_number, known, question, grounding) for statement in split_statements(answer)]


def _check(
    statement: Statement, passages: dict[int, Passage], known: Sequence[str], question: str, grounding: Grounding
) -> Claim:
    cited = tuple(number for number in statement.markers if number in passages)
    own = [passages[number] for number in cited or statement.inherited if number in passages]
    rests_on = own or list(passages.values())
    quotes = [*(f"{passage.headings}\n{passage.text}" for passage in rests_on), *known, question]
    check = grounding.checks([statement.text], quotes)[0]
    finding = detail = ""
    if check.unknown_figures:
        finding, detail = "figure", f"says {', '.join(sorted(check.unknown_figures))}; the passages do not"
    elif check.unknown_names:
        finding, detail = "name", f"names {', '.join(sorted(check.unknown_names))}; the passages do not"
    elif check.denied:
        finding, detail = "denied", f"the passages say the opposite: {check.closest}"
    elif unknown := [number for number in statement.markers if number not in passages]:
        finding = "unknown_marker"
        detail = f"cites [{unknown[0]}]; the passages are {', '.join(map(str, passages)) or 'none'}"
    elif check.score < MIN_SUPPORT:
        finding, detail = "unsupported", "the passages do not say this"
    anchors = tuple(_anchors(statement.text, rests_on)) if not finding else ()
    return Claim(statement.start, statement.end, statement.text, cited, anchors, finding, detail)


def _anchors(text: str, passages: Sequence[Passage]) -> list[Anchor]:
    claimed = terms(text)
    shares = [
        (len(claimed & terms(passage.text[start:end])), Anchor(passage.number, start, end))
        for passage in passages
        for start, end in sentence_spans(passage.text)
    ]
    best = max(shares, key=lambda pair: pair[0], default=(0, None))
    return [best[1]] if best[1] is not None and best[0] else []

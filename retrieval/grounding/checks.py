"""Checks of an answer that need no judgement: its markers, quotations, figures and identifiers.

A marker must name a passage that was shown. A quotation that is cited, a figure and an identifier must stand in something that was
read, or follow from it by one step of arithmetic, whose working is returned as a receipt. Meaning is for a judge; see
`models/entailment/`. Code, formulas and addresses are left alone, as is every text of which nothing was read.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from foundation.text.prose import blank_code
from foundation.text.sentences import sentence_spans
from retrieval.grounding.worked_figures import Figures

Reason = Literal["unknown_marker", "quotation", "figure", "identifier"]

MARKER = re.compile(r"\[(\d{1,3})\](?!\()")
_LINE = re.compile(r"[^\n]+")
_CELL = re.compile(r"(?:\\.|[^|\\\n])+")
# Where a sentence of a list item begins
_SIGN = re.compile(r"\s*(?:[-*+\u2022]|\d{1,3}[.)])?\s+")
_QUOTED = re.compile(
    '["\u201c\u201e\u00ab\u300c]([^"\u201c\u201d\u201e\u00ab\u00bb\u300c\u300d\n]{12,600})["\u201c\u201d\u00bb\u300d]'
)
_QUOTED_WORDS = 4
_WORD, _DIGIT = re.compile(r"\w+"), re.compile(r"\d")
_BETWEEN = re.compile('[\\s|()\\[\\]{}<>"\u201c\u201d\u201e*_~=]+')
_EDGES = ".,:;!?'\u2019\u2018%$€£¥+-\u2013\u2014/#&@°\u00b1\u2248\u3002\uff0c\u3001\uff1b\uff1a\u00d7"
_LETTERS, _DIGITS = re.compile(r"[^\W\d_]"), re.compile(r"\d+(?:[.,'\u2019\u202f]\d+)*")
# A number with a unit, an ending or a currency, such as 5kg, 3rd, 10am, v3, EUR300
_WITH_UNIT = re.compile(
    r"\d+(?:[.,:]\d+)*[^\W\d_]{1,5}|(?:[^\W\d_]|usd|eur|gbp|chf|jpy|cny|inr|aud|cad)\d+(?:[.,]\d+)*", re.IGNORECASE
)
_IDENTIFIER_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """Something of the answer that is in nothing that was read. A mark belongs at `end`, the end of its sentence or table cell."""

    start: int
    end: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """A figure of the answer that was worked out, and how: "300" and "2 × 150"."""

    figure: str
    working: str


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of a check. Findings are in the order of the answer, at most one for a sentence or table cell."""

    findings: tuple[Finding, ...] = ()
    receipts: tuple[Receipt, ...] = ()


def check_answer(answer: str, passages: Mapping[int, str], known: Sequence[str]) -> Checked:
    """Check a Markdown answer against the passages by number and the other texts that were read: results of tools, the person's
    words, instructions. Linear in the length of the answer, and in what was read but for its lists of numbers.
    """
    if not passages and not known:
        return Checked()
    read = _Read([*passages.values(), *known])
    prose = blank_code(answer)
    receipts: dict[str, str] = {}
    findings = []
    figures = Figures(read.texts, MARKER.sub(lambda marker: " " * len(marker[0]), prose))
    for start, end in split_statements(prose):
        if found := _find_fault(prose[start:end], passages, read, figures, receipts):
            findings.append(Finding(start, end, *found))
    return Checked(tuple(findings), tuple(Receipt(figure, working) for figure, working in receipts.items()))


def split_statements(prose: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of sentences and table cells of prose without code, without the spaces around them."""
    for line in _LINE.finditer(prose):
        row = line[0].lstrip().startswith("|")
        sign = _SIGN.match(line[0])
        begin = line.start() + (sign.end() if sign and not row else 0)
        parts = _CELL.finditer(line[0]) if row else ()
        spans = [part.span() for part in parts] or [
            (begin - line.start() + a, begin - line.start() + b) for a, b in sentence_spans(prose[begin : line.end()])
        ]
        for start, end in spans:
            text = prose[line.start() + start : line.start() + end]
            if text.strip():
                yield line.start() + start + len(text) - len(text.lstrip()), line.start() + start + len(text.rstrip())


def _find_fault(
    sentence: str, passages: Mapping[int, str], read: "_Read", figures: Figures, receipts: dict[str, str]
) -> tuple[Reason, str] | None:
    cited = [int(number) for number in MARKER.findall(sentence)]
    if unknown := [number for number in cited if number not in passages]:
        shown = f"the passages are {', '.join(map(str, passages))}" if passages else "no passage was shown"
        return "unknown_marker", f"cites [{unknown[0]}]; {shown}"
    for quoted in _QUOTED.findall(sentence) if cited else ():
        if not read.has_quotation(quoted):
            return "quotation", f'quotes "{quoted}", which was not read'
    for token in _figures_in(MARKER.sub(" ", sentence)):
        bare = token.strip(_EDGES)
        if read.has_token(bare):
            continue
        if _is_identifier(bare):
            if not read.has_part(bare):
                return "identifier", f"says {bare}, which was not read"
        elif not _follow(bare, f"{bare}%" in sentence or f"{bare} %" in sentence, figures, receipts):
            return "figure", f"says {bare}, which was not read and does not follow from what was"
    return None


def _follow(token: str, percent: bool, figures: Figures, receipts: dict[str, str]) -> bool:
    """Whether each number of the token was read or follows from what was; those that follow get their receipt."""
    for written in _DIGITS.findall(token):
        if not figures.are_known(written):
            working = figures.work_out(written, percent=percent)
            if working is None:
                return False
            receipts[written] = working
    return True


def _is_identifier(token: str) -> bool:
    digits = sum(map(str.isdigit, token))
    mixed = bool(_LETTERS.search(token)) and not _WITH_UNIT.fullmatch(token)
    return mixed and digits >= _IDENTIFIER_DIGITS and not re.search(r"[^\w.-]", token)


def _figures_in(text: str) -> Iterator[str]:
    """Yield the words that have a digit."""
    return (word for word in _BETWEEN.split(text) if _DIGIT.search(word))


class _Read:
    """Everything that was read, searched as a whole."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self._folded = "\n".join(texts).casefold()

    @cached_property
    def _tokens(self) -> set[str]:
        return {token.strip(_EDGES) for token in _figures_in(self._folded)}

    @cached_property
    def _joined(self) -> str:
        return _join(self._folded)

    @cached_property
    def _words(self) -> str:
        return f" {' '.join(_WORD.findall(self._folded))} "

    def has_token(self, token: str) -> bool:
        folded = token.casefold()
        return not token or folded in self._tokens or self._ends_code(folded)

    def _ends_code(self, digits: str) -> bool:
        """Whether these are the last digits of a longer number or code."""
        long = digits.isdigit() and len(digits) >= _IDENTIFIER_DIGITS
        return long and any(token.endswith(digits) and len(token) > len(digits) + 2 for token in self._tokens)

    def has_part(self, token: str) -> bool:
        """Whether the identifier was read, in whatever way it is joined: "QM 10042", and "0042" of it."""
        return _join(token.casefold()) in self._joined

    def has_quotation(self, quoted: str) -> bool:
        """Whether the words stand one after the other; those left out by dots may be missing."""
        pieces = (_WORD.findall(piece.casefold()) for piece in re.split(r"\.{3}|…|\[[^\[\]]{0,80}\]", quoted))
        return all(f" {' '.join(words)} " in self._words for words in pieces if len(words) >= _QUOTED_WORDS)


def _join(text: str) -> str:
    return re.sub(r"[\s_.-]", "", text)
